//! JSON of clients, which the gateway stores and relays as text.

use std::{borrow::Cow, collections::BTreeMap};

use entity::{JsonObject, JsonText};
use poem_openapi::{
    registry::MetaSchemaRef,
    types::{Any, ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde_json::Value;

use crate::{
    family::error::{FamilyError, Result},
    json,
};

/// Maximum size of a JSON object, in bytes of JSON. One snapshot or list can contain many objects.
const MAX_OBJECT: usize = 16_384;

/// Declares a wire type of relayed JSON: its stored form, and the type of poem-openapi with the same schema.
macro_rules! relayed {
    ($(#[$doc:meta])* $name:ident($stored:ty) as $schema:ty) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(pub $stored);

        impl Type for $name {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                <$schema>::name()
            }

            fn schema_ref() -> MetaSchemaRef {
                <$schema>::schema_ref()
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl ToJSON for $name {
            fn to_json(&self) -> Option<Value> {
                Some(json::embed(self.0.as_str()))
            }
        }
    };
}

relayed! {
    /// Any JSON value. It leaves with the numbers and strings that it came with.
    AnyJson(JsonText) as Any<Value>
}

relayed! {
    /// A JSON object with any members. It leaves with the numbers and strings that it came with.
    AnyObject(JsonObject) as BTreeMap<String, Value>
}

impl AnyJson {
    /// Whether this is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0.as_str() == "null"
    }
}

impl ParseFromJSON for AnyJson {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Ok(Self::from(&value.unwrap_or_default()))
    }
}

impl From<&Value> for AnyJson {
    fn from(value: &Value) -> Self {
        Self(json::text(value).into())
    }
}

impl ParseFromJSON for AnyObject {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value.unwrap_or_default() {
            object @ Value::Object(_) if !json::is_embedded(&object) => {
                Ok(Self(json::text(&object).into()))
            }
            other => Err(ParseError::expected_type(other)),
        }
    }
}

impl Default for AnyObject {
    fn default() -> Self {
        Self("{}".to_owned().into())
    }
}

/// Returns the stored form of the object in the field `name` of a request.
///
/// # Errors
/// [`FamilyError::BadInput`] if it has more than 16,384 bytes as JSON.
pub fn json_object(name: &'static str, object: AnyObject) -> Result<JsonObject> {
    check(name, object.0.as_str(), MAX_OBJECT)?;
    Ok(object.0)
}

/// Returns the stored form of the value in the field `name` of a request.
///
/// # Errors
/// [`FamilyError::BadInput`] if it has more than `max` bytes as JSON.
pub fn json_value<'a>(name: &'static str, value: &'a AnyJson, max: usize) -> Result<&'a JsonText> {
    check(name, value.0.as_str(), max)?;
    Ok(&value.0)
}

fn check(name: &'static str, text: &str, max: usize) -> Result<()> {
    if text.len() <= max {
        return Ok(());
    }
    Err(FamilyError::bad_input(name, format!("more than {max} bytes as JSON")))
}
