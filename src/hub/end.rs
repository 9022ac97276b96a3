//! Why streams end.

use crate::session::Ended;

/// Why a stream ends, as `stream.closed` and the metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Completed,
    MaxEvents,
    MaxSeconds,
    Session(Ended),
    Shutdown,
    Overflow,
    Disconnected,
    Failed,
    ClientGone,
}

impl End {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::MaxEvents => "max_events",
            Self::MaxSeconds => "max_seconds",
            Self::Session(ended) => ended.reason(),
            Self::Shutdown => "shutdown",
            Self::Overflow => "overflow",
            Self::Disconnected => "disconnected",
            Self::Failed => "failed",
            Self::ClientGone => "client_gone",
        }
    }
}
