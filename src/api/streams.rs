//! The stream of many topics at once.

use std::{borrow::Cow, sync::Arc};

use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::Query,
    registry::{MetaSchema, MetaSchemaRef},
    types::{Example, ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type},
};
use serde_json::Value;

use super::{
    Tag,
    caller::{StreamCaller, Viewer},
    example_id,
    problem::Result,
    stream::{self, Parameters, StreamResponse},
};
use crate::{
    event::{Family, Topic},
    family::{EventKind, schema},
    gateway::Gateway,
};

/// A topic that has left a stream of many.
#[derive(Object)]
#[oai(rename = "TopicClosed", example)]
pub(super) struct TopicClosed {
    /// Which: `<family>.<id>`.
    topic: String,
    /// `completed`, after its last event, or `forbidden`: the caller's role was lowered and is not
    /// enough for it.
    reason: String,
}

impl Example for TopicClosed {
    fn example() -> Self {
        Self { topic: format!("topology.{}", example_id()), reason: "completed".to_owned() }
    }
}

/// The event of such a stream that belongs to none of its topics.
pub(super) const TOPIC_CLOSED: EventKind = EventKind {
    kind: "topic.closed",
    description: "A topic has left; the others go on.",
    schema: schema::<TopicClosed>,
};

/// A topic as a request names it.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct TopicName(pub(super) Topic);

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

fn named(text: &str) -> ParseResult<TopicName> {
    let topic = text.parse().map(TopicName);
    topic.map_err(|_| ParseError::custom("not <family>.<id>, of a family that there is"))
}

impl ParseFromParameter for TopicName {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        named(value)
    }
}

impl ParseFromJSON for TopicName {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value.unwrap_or_default() {
            Value::String(text) => named(&text),
            other => Err(ParseError::expected_type(other)),
        }
    }
}

impl ToJSON for TopicName {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(self.0.to_string()))
    }
}

/// The operations.
pub(super) struct Streams;

#[OpenApi(tag = "Tag::Stream")]
impl Streams {
    /// Watch many topics
    ///
    /// One stream of server-sent events, one slot. Each topic starts with its `snapshot` or behind its
    /// cursor and sends what it sends on a stream of its own, with `{"topic": ..., "data": ...}`
    /// around the data. The `id` of an event holds the places of all topics; a topic that finds none
    /// of its own in the cursor that a client comes back with starts with a snapshot, so topics may be
    /// added and taken away. A topic that has ended, or that the caller may no longer see, leaves with
    /// `topic.closed`; the stream ends with the last one. A stream token must be for the whole list, of
    /// which it opens any part. Needs the role viewer.
    #[oai(path = "/v1/streams", method = "get", operation_id = "stream_open")]
    async fn open(
        &self,
        caller: StreamCaller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// What to watch, each as `<family>.<id>`: 1 to 50, all different.
        #[oai(validator(min_items = 1, max_items = 50, unique_items))]
        topic: Query<Vec<TopicName>>,
        parameters: Parameters,
    ) -> Result<StreamResponse> {
        let topics: Vec<Topic> = topic.0.into_iter().map(|name| name.0).collect();
        stream::open_topics(&gateway, caller, topics, parameters).await
    }
}
