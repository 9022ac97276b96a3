//! The request to open a stream, and its result.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{fanout::PendingSubscription, subscription::Client, topic::Subject};
use crate::{
    auth::login_session::{SessionError, Watch},
    config::Overflow,
    event::{Cursor, Cursors, Topic},
};

/// A topic to be streamed.
#[derive(Clone)]
pub struct RequestedTopic {
    /// Its name.
    pub name: Topic,
    /// The properties that all its streams share.
    pub subject: Subject,
    /// The strategy for a client that is slower than the topic.
    pub overflow: Overflow,
}

/// The point at which the client resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume<C = Cursor> {
    /// It has no event yet.
    Start,
    /// After this event.
    After(C),
    /// It sent text that is not a cursor.
    Unreadable,
}

/// Ends that the client wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// After this many events, the snapshot included.
    pub max_events: Option<NonZeroU64>,
    /// After this time.
    pub max_time: Option<Duration>,
}

/// A stream to be opened. The caller was found to be allowed to see its topic.
pub struct Open {
    /// The topic.
    pub topic: RequestedTopic,
    /// The point at which the client resumes.
    pub resume: Resume,
    /// Ends that the client wants.
    pub bounds: Bounds,
    /// The client.
    pub client: Client,
}

/// Decides what a caller may still see, once its role was lowered.
#[async_trait]
pub trait TopicAccess: Send + Sync + 'static {
    /// A new watch of the caller's login session, and those of the topics that the caller may still
    /// see.
    async fn recheck(&self, topics: Vec<Topic>) -> Result<(Watch, Vec<Topic>), SessionError>;
}

/// A stream of many topics to be opened. The caller was found to be allowed to see all of them.
pub struct OpenMany {
    /// The topics, all different.
    pub topics: Vec<RequestedTopic>,
    /// The point at which the client resumes.
    pub resume: Resume<Cursors>,
    /// Ends that the client wants, for all topics together.
    pub bounds: Bounds,
    /// The client.
    pub client: Client,
    /// Decides what the caller may see later.
    pub access: Arc<dyn TopicAccess>,
}

/// The result of opening a stream.
pub enum Opened<S = PendingSubscription> {
    /// Events follow.
    Stream(S),
    /// The client has the last event that there will ever be.
    Complete,
}
