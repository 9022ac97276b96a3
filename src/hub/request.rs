//! The request to open a stream, and its result.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{fanout::PendingSubscription, subscription::Client, topic::TopicProperties};
use crate::{
    auth::login_session::{SessionError, SessionWatch},
    config::Overflow,
    event::{Cursor, Cursors, Topic},
};

/// A topic to stream.
#[derive(Clone)]
pub struct RequestedTopic {
    /// Name of the topic.
    pub name: Topic,
    /// Properties that all streams of the topic share.
    pub properties: TopicProperties,
    /// Strategy for a client that is slower than the topic.
    pub overflow: Overflow,
}

/// The point at which the client resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume<C = Cursor> {
    /// The client has no event yet.
    Start,
    /// The client has this event, and those before it.
    After(C),
    /// The client sent text that is not a cursor.
    Invalid,
}

/// Limits that the client sets for a stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// Number of events after which the stream ends, including the snapshot. `None` without a limit.
    pub max_events: Option<NonZeroU64>,
    /// Time after which the stream ends. `None` without a limit.
    pub max_time: Option<Duration>,
}

/// A request to open a stream. The caller's access to the topic is already checked.
pub struct Open {
    /// Topic to stream.
    pub topic: RequestedTopic,
    /// The point at which the client resumes.
    pub resume: Resume,
    /// Limits that the client sets.
    pub bounds: Bounds,
    /// Client that opens the stream.
    pub client: Client,
}

/// Decides which topics a caller may still see after its role was lowered.
#[async_trait]
pub trait TopicAccess: Send + Sync + 'static {
    /// Returns a new watch of the caller's login session, and those of `topics` that the caller may still see.
    ///
    /// # Errors
    /// [`SessionError::Ended`] if the login session has ended, or if the role was lowered again during the call.
    async fn recheck(&self, topics: Vec<Topic>)
    -> Result<(SessionWatch, Vec<Topic>), SessionError>;
}

/// A request to open a stream of many topics. The caller's access to all of them is already checked.
pub struct OpenMany {
    /// Topics to stream, without duplicates.
    pub topics: Vec<RequestedTopic>,
    /// The point at which the client resumes.
    pub resume: Resume<Cursors>,
    /// Limits that the client sets, for all topics together.
    pub bounds: Bounds,
    /// Client that opens the stream.
    pub client: Client,
    /// Checks the caller's access again after its role was lowered.
    pub access: Arc<dyn TopicAccess>,
}

/// The result of opening a stream.
pub enum Opened<S = PendingSubscription> {
    /// The stream is open, and events follow.
    Stream(S),
    /// The client has all events, and no event can follow. No stream is open.
    Complete,
}
