//! Why streams end.

use std::time::Duration;

use serde_json::json;

use crate::{
    auth::login_session::Ended,
    event::{self, block},
    limit::jittered,
};

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

    /// What is said at last. After a shutdown clients are told to come back, spread out; `failure`
    /// is the data of the `error` of a stream that breaks.
    pub(super) fn farewell(self, retry: Duration, failure: impl FnOnce() -> String) -> Vec<u8> {
        let said = match self {
            // A bound that is counted in events: not even `stream.closed` may follow.
            Self::MaxEvents => return Vec::new(),
            Self::Failed => block(None, "error", &failure()),
            end => block(None, "stream.closed", &event::json(&json!({ "reason": end.reason() }))),
        };
        match self {
            Self::Failed | Self::Shutdown => [retry_line(retry).as_bytes(), &said].concat(),
            _ => said.into(),
        }
    }
}

/// What a stream begins with, at once, so that every proxy passes the head on.
pub(super) fn prelude(retry: Duration) -> Vec<u8> {
    format!(":\n{}\n", retry_line(retry)).into()
}

/// How long to wait before coming back, jittered.
fn retry_line(retry: Duration) -> String {
    format!("retry: {}\n", jittered(retry).as_millis())
}
