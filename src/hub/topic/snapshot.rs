//! The state of a resource, with which a stream starts.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use sea_orm::DbErr;
use uuid::Uuid;

use super::ring::Position;
use crate::event::Cursor;

/// Reads the state of one topic's resource.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The state and the cursor that belongs to it, as of one moment. The state is the same for
    /// every caller that may watch the topic, and only an event changes it. The data must carry
    /// `reset`: the reason why the stream starts over although the client had a cursor.
    async fn snapshot(&self, reset: Option<&'static str>) -> Result<Snapshot, DbErr>;
}

/// The state of a resource.
#[derive(Debug)]
pub struct Snapshot {
    /// The newest event that the state includes.
    pub cursor: Cursor,
    /// JSON text as [`event::json`](crate::event::json) makes it.
    pub data: String,
    /// Whether no event can follow.
    pub terminal: bool,
}

/// The properties that all streams of a topic share.
#[derive(Clone)]
pub struct Subject {
    /// Reads the topic's state.
    pub source: Arc<dyn Source>,
    /// Makes the data of the `error` event that ends a failed stream: JSON text on one line. The
    /// argument is the id of the request that opened the stream.
    pub failure: fn(Uuid) -> String,
}

/// A snapshot as it is sent.
#[derive(Clone)]
pub struct SnapshotFrame {
    /// The position of the newest event that it includes.
    pub position: Position,
    /// A chunk with one block.
    pub bytes: Bytes,
    /// Whether no event can follow.
    pub terminal: bool,
    /// Time at which reading it began.
    pub read_at: Instant,
}
