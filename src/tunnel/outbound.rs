//! What waits to be written to a tunnel client.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    counters::Counters,
    error::CallError,
    frame::{self, MAX_FRAME},
    message::Members,
    metrics::Metrics,
};

/// Bytes that may wait for a client. A client that does not read cannot make the gateway keep more.
const BUDGET: usize = 4 << 20;

/// The sending side, which many callers share. No caller waits for the client.
#[derive(Clone, Debug)]
pub(super) struct Outbound {
    tunnel: Uuid,
    frames: mpsc::UnboundedSender<String>,
    waiting: Arc<AtomicUsize>,
    counters: Arc<Counters>,
    metrics: Arc<Metrics>,
}

/// The receiving side: the frames to write to the socket.
#[derive(Debug)]
pub struct Frames {
    frames: mpsc::UnboundedReceiver<String>,
    waiting: Arc<AtomicUsize>,
}

impl Outbound {
    pub(super) fn new(
        tunnel: Uuid,
        counters: Arc<Counters>,
        metrics: Arc<Metrics>,
    ) -> (Self, Frames) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let frames = Frames { frames: receiver, waiting: Arc::clone(&waiting) };
        (Self { tunnel, frames: sender, waiting, counters, metrics }, frames)
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
        if self.waiting.fetch_add(bytes, Relaxed) + bytes > BUDGET {
            self.waiting.fetch_sub(bytes, Relaxed);
            return Err(CallError::ClientTooSlow);
        }
        self.counters.sent_bytes(bytes);
        self.frames.send(frame).map_err(|_| CallError::Disconnected)
    }
}

impl Frames {
    /// The next frame. It counts as waiting until [`Self::written`].
    pub async fn next(&mut self) -> Option<String> {
        self.frames.recv().await
    }

    /// The next frame, if one is waiting.
    pub fn try_next(&mut self) -> Option<String> {
        self.frames.try_recv().ok()
    }

    /// Frames of this size in all have been written.
    pub fn written(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Relaxed);
    }
}
