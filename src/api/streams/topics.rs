//! The stream of several topics.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Query, types::Example};

use super::{
    open::open_topics, parameters::Parameters, response::StreamResponse, topic_name::TopicName,
};
use crate::{
    api::{
        caller::{StreamCaller, Viewer},
        problem::WriteResult,
        tag::Tag,
    },
    event::Topic,
    family::{EventKind, schema, wire::example_id},
    gateway::Gateway,
};

/// The end of one topic in a stream of several topics.
#[derive(Object)]
#[oai(rename = "TopicClosed", example)]
pub(in crate::api) struct TopicClosed {
    /// Topic, as `<family>.<id>`.
    topic: String,
    /// Reason: `completed` after the last event of the topic, or `forbidden` if the caller's role was lowered and no
    /// longer allows the topic.
    reason: String,
}

impl Example for TopicClosed {
    fn example() -> Self {
        Self { topic: format!("topology.{}", example_id()), reason: "completed".to_owned() }
    }
}

/// The event that a stream of several topics sends when one of them ends.
pub(in crate::api) const TOPIC_CLOSED: EventKind = EventKind {
    kind: "topic.closed",
    description: "No further events of this topic follow. The other topics continue.",
    schema: schema::<TopicClosed>,
};

/// The operations.
pub(in crate::api) struct StreamsApi;

#[OpenApi(tag = "Tag::Stream")]
impl StreamsApi {
    /// Stream several topics
    ///
    /// Sends server-sent events of several topics over one connection, which takes one slot. Each topic starts with its
    /// `snapshot`, or after its cursor. The data of each event is the data of the topic's own stream, wrapped as
    /// `{"topic": ..., "data": ...}`.
    ///
    /// The `id` of an event contains the cursors of all topics. On resume, a topic without a cursor in the
    /// `id` starts with a snapshot. So a client can add and remove topics when it reconnects. If another cursor in
    /// the `id` belongs to none of the topics, that snapshot has the reset reason `unknown_cursor`.
    ///
    /// The stream sends `topic.closed` when a topic ends, or when the caller may no longer see it. The stream ends with
    /// its last topic. A stream token opens all or some of the topics that it was minted for. Requires the role viewer.
    #[oai(path = "/v1/streams", method = "get", operation_id = "topic_stream")]
    async fn open(
        &self,
        caller: StreamCaller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Topics to stream, each as `<family>.<id>`: 1 to 50, all different.
        #[oai(validator(min_items = 1, max_items = 50, unique_items))]
        topic: Query<Vec<TopicName>>,
        parameters: Parameters,
    ) -> WriteResult<StreamResponse> {
        let topics: Vec<Topic> = topic.0.into_iter().map(|name| name.0).collect();
        open_topics(&gateway, caller, topics, parameters).await
    }
}
