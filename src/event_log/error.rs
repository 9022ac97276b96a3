//! The reasons why the event log cannot be read.

use sea_orm::DbErr;

/// The reason why a read of the event log failed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log does not have the position, or no longer has it.
    #[error(transparent)]
    Stale(#[from] StaleCursor),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// The reason why a stream cannot resume after a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaleCursor {
    /// The cursor belongs to another topic, or to another database.
    #[error("the cursor does not belong to this stream")]
    UnknownCursor,
    /// The log has another event at this number, or none. The database was restored from a backup, or has failed over
    /// to a copy without the newest events.
    #[error("the events up to the cursor were replaced by others")]
    Replaced,
    /// The events after the cursor were pruned.
    #[error("the events after the cursor are no longer kept")]
    Pruned,
}

impl StaleCursor {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::UnknownCursor, Self::Replaced, Self::Pruned];

    /// The reason in the metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::UnknownCursor => "unknown_cursor",
            Self::Replaced => "replaced",
            Self::Pruned => "pruned",
        }
    }
}
