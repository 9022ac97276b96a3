//! The state of a resource, with which a stream starts.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use sea_orm::DbErr;
use uuid::Uuid;

use super::ring::Position;
use crate::{event::Cursor, event_log::StaleCursor};

/// Reads the state of one topic's resource.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Reads the state and its cursor, as of one moment. The state is the same for every caller that may watch the
    /// topic, and only an event changes it. The data must contain `reset`: the reason why the stream starts over
    /// although the client had a cursor.
    async fn snapshot(&self, reset: Option<StaleCursor>) -> Result<Snapshot, DbErr>;
}

/// The state of a resource.
#[derive(Debug)]
pub struct Snapshot {
    /// Cursor of the newest event that the state includes.
    pub cursor: Cursor,
    /// JSON text as [`event::json`](crate::event::json) returns it.
    pub data: String,
    /// Whether no event can follow.
    pub terminal: bool,
}

/// Properties that all streams of a topic share.
#[derive(Clone)]
pub struct TopicProperties {
    /// Reads the state of the topic's resource.
    pub source: Arc<dyn Source>,
    /// Returns the data of the `error` event that ends a failed stream: JSON text on one line. The argument is the id
    /// of the request that opened the stream.
    pub failure: fn(Uuid) -> String,
}

/// A snapshot in its wire format.
#[derive(Clone)]
pub struct SnapshotFrame {
    /// Position of the newest event that the snapshot includes.
    pub position: Position,
    /// One chunk that contains one block.
    pub bytes: Bytes,
    /// Whether no event can follow.
    pub terminal: bool,
    /// Time at which the read of the state began.
    pub read_at: Instant,
}
