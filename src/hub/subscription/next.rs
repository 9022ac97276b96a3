//! The next step of a subscription.

use bytes::Bytes;

use crate::hub::topic::Run;

/// The next step of a subscription.
pub enum Next {
    /// Write these bytes, and report the result with [`Subscription::wrote`](super::Subscription::wrote).
    Write(Piece),
    /// Wait until the topic moves, or a read of the log ends.
    Wait,
    /// Read the missed events from the log.
    CatchUp,
    /// The end was sent.
    Done,
}

/// Bytes to write.
pub enum Piece {
    /// Bytes that go before all frames. They count as no event.
    Ready(Bytes),
    /// Frames. Each of them counts as one event.
    Frames(Run),
}

impl Piece {
    /// The bytes to write.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Ready(bytes) => bytes,
            Self::Frames(run) => &run.bytes,
        }
    }
}
