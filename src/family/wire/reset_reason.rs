//! The reason for a reset of a stream.

use poem_openapi::Enum;

use crate::event_log::StaleCursor;

/// Reason why a stream starts over with a snapshot although the client sent a cursor. Discard your state and continue
/// from the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum ResetReason {
    /// The cursor does not belong to this stream.
    UnknownCursor,
    /// Events after the cursor were deleted because of the retention.
    Pruned,
    /// The database was restored from a backup. Since then, other events have the sequence numbers of events that the
    /// client received.
    Replaced,
}

impl From<StaleCursor> for ResetReason {
    fn from(stale: StaleCursor) -> Self {
        match stale {
            StaleCursor::UnknownCursor => Self::UnknownCursor,
            StaleCursor::Pruned => Self::Pruned,
            StaleCursor::Replaced => Self::Replaced,
        }
    }
}
