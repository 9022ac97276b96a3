//! JSON objects in columns.

use std::{fmt, str::FromStr};

use sea_orm::{DeriveValueType, sea_query::ValueTypeErr};
use serde_json::{Map, Value};

/// A JSON object, kept as text: PostgreSQL's own JSON types refuse a NUL in a string, which JSON
/// allows (RFC 8259, section 7).
#[derive(Clone, Debug, Default, PartialEq, Eq, DeriveValueType)]
#[sea_orm(value_type = "String")]
pub struct JsonObject(pub Map<String, Value>);

impl fmt::Display for JsonObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for JsonObject {
    type Err = ValueTypeErr;

    fn from_str(text: &str) -> Result<Self, ValueTypeErr> {
        serde_json::from_str(text).map(Self).map_err(|_| ValueTypeErr)
    }
}
