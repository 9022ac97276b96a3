//! The reason for a reset of a stream.

use poem_openapi::Enum;

/// Reason why a stream starts over with a snapshot although the client sent a cursor. Discard the state that you
/// have, and continue from the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum ResetReason {
    /// The cursor is not of this stream.
    UnknownCursor,
    /// The events after the cursor are no longer kept.
    Pruned,
    /// The database was restored from a backup, and other events have the numbers of those that the client saw.
    Replaced,
}
