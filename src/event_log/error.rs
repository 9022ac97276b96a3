//! Why the event log cannot be read.

use sea_orm::DbErr;

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The position is not, or no longer, in the log.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// Why a cursor cannot be resumed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// The cursor is not of this topic, or not of this database.
    #[error("the cursor is not one of this stream's")]
    UnknownCursor,
    /// The log has another event at this number, or none. The database was restored from a backup, or has
    /// failed over to a copy without the newest events.
    #[error("the events up to the cursor were replaced by others")]
    Replaced,
    /// The events after it were pruned.
    #[error("the events after the cursor are no longer kept")]
    Pruned,
}

impl Stale {
    /// The reason in a snapshot's `reset` and in metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::UnknownCursor => "unknown_cursor",
            Self::Replaced => "replaced",
            Self::Pruned => "pruned",
        }
    }
}
