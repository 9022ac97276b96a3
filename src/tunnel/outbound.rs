//! The frames that wait to be written to a tunnel client.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    counters::Counters,
    error::CallError,
    frame::{self, MAX_FRAME},
    message::Members,
    metrics::Metrics,
    queue::{NotQueued, Receiver, Sender, queue},
};

/// Bytes that may wait for a client. A client that does not read cannot make the gateway keep more.
const BUDGET: usize = 4 << 20;

/// The frames to write to the socket.
pub type Frames = Receiver<String>;

/// The sending side, which many callers share. No caller waits for the client.
#[derive(Clone, Debug)]
pub(super) struct Outbound {
    tunnel: Uuid,
    frames: Sender<String>,
    counters: Arc<Counters>,
    metrics: Arc<Metrics>,
}

impl Outbound {
    pub(super) fn new(
        tunnel: Uuid,
        counters: Arc<Counters>,
        metrics: Arc<Metrics>,
    ) -> (Self, Frames) {
        let (sender, receiver) = queue(BUDGET);
        (Self { tunnel, frames: sender, counters, metrics }, receiver)
    }

    /// Queues a message to the MCP server.
    ///
    /// # Errors
    /// [`CallError::TooLarge`], [`CallError::ClientTooSlow`], or [`CallError::Disconnected`].
    pub(super) fn send_message(&self, message: &Members) -> Result<(), CallError> {
        let frame = frame::to_server(self.tunnel, message);
        let bytes = frame.len();
        if bytes > MAX_FRAME {
            return Err(CallError::TooLarge { bytes, limit: MAX_FRAME });
        }
        self.send(frame)?;
        self.counters.sent_message();
        self.metrics.sent(bytes);
        Ok(())
    }

    /// Queues a frame.
    pub(super) fn send(&self, frame: String) -> Result<(), CallError> {
        let bytes = frame.len();
        self.frames.send(frame, bytes).map_err(|error| match error {
            NotQueued::Full => CallError::ClientTooSlow,
            NotQueued::Closed => CallError::Disconnected,
        })?;
        self.counters.sent_bytes(bytes);
        Ok(())
    }
}
