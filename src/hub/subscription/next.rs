//! The next step of a subscription.

use bytes::Bytes;

use crate::hub::topic::Run;

/// The next step of a subscription.
pub enum Next {
    /// Write these bytes and report it with [`Subscription::wrote`](super::Subscription::wrote).
    Write(Piece),
    /// Wait until the topic moves.
    Wait,
    /// Read what was missed from the log.
    CatchUp,
    /// The end was sent.
    Done,
}

/// Bytes to write: those that have to go first, or frames.
pub enum Piece {
    /// Bytes without frames to count.
    Ready(Bytes),
    /// Frames.
    Frames(Run),
}

impl Piece {
    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Ready(bytes) => bytes,
            Self::Frames(run) => &run.bytes,
        }
    }
}
