//! What a caller asks for that opens a stream.

use std::{num::NonZeroU64, time::Duration};

use super::{fanout::PendingSubscription, subscription::Opener, topic::Subject};
use crate::{
    config::Overflow,
    event::{Cursor, Topic},
};

/// A topic to be streamed.
#[derive(Clone)]
pub struct Wanted {
    /// Its name.
    pub topic: Topic,
    /// What all its streams share.
    pub subject: Subject,
    /// What happens when the client is slower than the topic.
    pub overflow: Overflow,
}

/// Where the client resumes.
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
    pub wanted: Wanted,
    /// Where the client resumes.
    pub resume: Resume,
    /// Ends that the client wants.
    pub bounds: Bounds,
    /// The client.
    pub opener: Opener,
}

/// The result of opening a stream.
pub enum Opening<S = PendingSubscription> {
    /// Events follow.
    Stream(S),
    /// The client has the last event that there will ever be.
    Complete,
}
