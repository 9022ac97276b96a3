//! Messages and bytes of one tunnel, and its last activity.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use entity::Timestamp;

/// The traffic of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Messages from the MCP server.
    pub messages_received: i64,
    /// Bytes of all frames from the client.
    pub bytes_received: i64,
    /// Messages to the MCP server.
    pub messages_sent: i64,
    /// Bytes of all frames to the client.
    pub bytes_sent: i64,
    /// Time of the last message in either direction.
    pub last_activity_at: Timestamp,
}

/// Counts the traffic of a tunnel, from what earlier connections of the tunnel had.
#[derive(Debug)]
pub struct Counters {
    messages_received: AtomicI64,
    bytes_received: AtomicI64,
    messages_sent: AtomicI64,
    bytes_sent: AtomicI64,
    last_activity_micros: AtomicI64,
}

impl Counters {
    /// Starts with this traffic.
    #[must_use]
    pub fn new(before: Traffic) -> Self {
        Self {
            messages_received: before.messages_received.into(),
            bytes_received: before.bytes_received.into(),
            messages_sent: before.messages_sent.into(),
            bytes_sent: before.bytes_sent.into(),
            last_activity_micros: before.last_activity_at.0.into(),
        }
    }

    /// The traffic until now.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            messages_received: self.messages_received.load(Relaxed),
            bytes_received: self.bytes_received.load(Relaxed),
            messages_sent: self.messages_sent.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
            last_activity_at: Timestamp(self.last_activity_micros.load(Relaxed)),
        }
    }

    pub(super) fn received_bytes(&self, bytes: usize) {
        self.bytes_received.fetch_add(signed(bytes), Relaxed);
    }

    pub(super) fn received_message(&self) {
        self.messages_received.fetch_add(1, Relaxed);
        self.touch();
    }

    pub(super) fn sent_bytes(&self, bytes: usize) {
        self.bytes_sent.fetch_add(signed(bytes), Relaxed);
    }

    pub(super) fn sent_message(&self) {
        self.messages_sent.fetch_add(1, Relaxed);
        self.touch();
    }

    fn touch(&self) {
        self.last_activity_micros.fetch_max(Timestamp::now().0, Relaxed);
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
