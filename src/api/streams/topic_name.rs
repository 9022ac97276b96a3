//! The name of a topic in a request.

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type},
};
use serde_json::Value;

use crate::event::{Family, Topic};

/// A topic in a request, as `<family>.<id>`.
#[derive(PartialEq, Eq, Hash)]
pub(in crate::api) struct TopicName(pub(in crate::api) Topic);

impl Type for TopicName {
    const IS_REQUIRED: bool = true;
    type RawValueType = Topic;
    type RawElementValueType = Topic;

    fn name() -> Cow<'static, str> {
        String::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        let families = Family::ALL.map(Family::name).join("|");
        let id = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            pattern: Some(format!("^({families})\\.{id}$")),
            ..MetaSchema::new("string")
        }))
    }

    fn as_raw_value(&self) -> Option<&Topic> {
        Some(&self.0)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Topic> + 'a> {
        Box::new(std::iter::once(&self.0))
    }
}

fn parse(text: &str) -> ParseResult<TopicName> {
    let topic = text.parse().map(TopicName);
    topic.map_err(|_| ParseError::custom("must be <family>.<id> with a known family"))
}

impl ParseFromParameter for TopicName {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        parse(value)
    }
}

impl ParseFromJSON for TopicName {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value.unwrap_or_default() {
            Value::String(text) => parse(&text),
            other => Err(ParseError::expected_type(other)),
        }
    }
}

impl ToJSON for TopicName {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(self.0.to_string()))
    }
}
