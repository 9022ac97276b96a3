//! Why the event log cannot be read.

use sea_orm::DbErr;

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The place is not, or no longer, in the log; a reader must start from the present state.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The database did not say.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// Why a cursor cannot be resumed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// It is not of this topic, or of a database that is not this one.
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
    /// The word for it in a snapshot's `reset` and in metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::UnknownCursor => "unknown_cursor",
            Self::Replaced => "replaced",
            Self::Pruned => "pruned",
        }
    }
}
