//! The stream of many topics at once.

use std::sync::Arc;

use async_trait::async_trait;
use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Query, types::Example};
use sea_orm::DbErr;
use uuid::Uuid;

use super::{
    Tag,
    caller::{StreamCaller, Viewer},
    example_id, family,
    problem::{Kind, Problem, Result},
    stream::{self, EventKind, Parameters, StreamResponse},
};
use crate::{
    event::{Cursors, Topic},
    gateway::Gateway,
    hub::Access,
    session::{SessionError, Watch},
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
    schema: stream::schema::<TopicClosed>,
};

/// Topics as a request names them: 1 to [`Cursors::MOST`], all different.
pub(super) fn topics(names: &[String]) -> Result<Vec<Topic>> {
    let bad = |what: &str| Problem::bad_request(format!("topics: {what}"));
    let topics: std::result::Result<Vec<Topic>, _> =
        names.iter().map(|name| name.parse()).collect();
    let topics =
        topics.map_err(|_| bad("each must be <family>.<id>, of a family that there is"))?;
    if topics.is_empty() || topics.len() > Cursors::MOST {
        return Err(bad(&format!("must be from 1 to {}", Cursors::MOST)));
    }
    if (1..topics.len()).any(|index| topics[..index].contains(&topics[index])) {
        return Err(bad("one is there twice"));
    }
    Ok(topics)
}

/// Who opened a stream of many topics.
struct Seeing {
    gateway: Arc<Gateway>,
    session: Uuid,
    user: Uuid,
}

#[async_trait]
impl Access for Seeing {
    async fn ask(
        &self,
        topics: Vec<Topic>,
    ) -> std::result::Result<(Watch, Vec<Topic>), SessionError> {
        let principal = self.gateway.sessions.validate(self.session, self.user).await?;
        // Before asking: a role that is lowered meanwhile is noticed by it.
        let watch = self.gateway.sessions.watch(&principal).await?;
        let mut allowed = Vec::with_capacity(topics.len());
        for topic in topics {
            match family::exists(&self.gateway, &principal, &topic).await {
                Ok(_) => allowed.push(topic),
                Err(problem) if matches!(problem.kind(), Kind::Forbidden | Kind::NotFound) => {}
                Err(problem) => {
                    let cause = problem.cause().unwrap_or_default().to_owned();
                    return Err(DbErr::Custom(cause).into());
                }
            }
        }
        Ok((watch, allowed))
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
        topic: Query<Vec<String>>,
        parameters: Parameters,
    ) -> Result<StreamResponse> {
        let topics = topics(&topic.0)?;
        caller.may_open_all(&topics)?;
        for topic in &topics {
            family::exists(&gateway, &caller.principal, topic).await?;
        }
        let topics = topics.into_iter().map(|topic| {
            let source = family::source(&gateway, &topic);
            (topic, source)
        });
        let topics = topics.collect();
        let access = Seeing {
            gateway: Arc::clone(&gateway),
            session: caller.principal.session_id,
            user: caller.principal.user_id,
        };
        stream::open_many(&gateway, caller, topics, Arc::new(access), parameters).await
    }
}
