//! Why streams end.

use std::time::Duration;

use serde_json::json;

use crate::{
    auth::login_session::Ended,
    event::{self, block},
    limit::jittered,
};

/// The reason why a stream ends, as `stream.closed` and the metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its resource has had its last event.
    Completed,
    /// The client wanted so many events.
    MaxEvents,
    /// The client wanted it for so long.
    MaxSeconds,
    /// The login session does not allow it any longer.
    Session(Ended),
    /// The gateway stops.
    Shutdown,
    /// The client was too slow, and its overflow strategy closes the connection then.
    Overflow,
    /// A caller has ended the connection.
    Disconnected,
    /// The event log cannot be read.
    Failed,
    /// The client has closed the connection.
    ClientGone,
}

impl End {
    /// Its name.
    pub fn reason(self) -> &'static str {
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

    /// The last text of a stream. After a shutdown or a failure it tells the client when to
    /// reconnect, spread out over time. `failure` is the data of the `error` of a failed stream.
    pub fn text(self, retry: Duration, failure: impl FnOnce() -> String) -> Vec<u8> {
        let event = match self {
            // The client has counted the events that it wanted: not even `stream.closed` may
            // follow.
            Self::MaxEvents => return Vec::new(),
            Self::Failed => block(None, "error", &failure()),
            end => block(None, "stream.closed", &event::json(&json!({ "reason": end.reason() }))),
        };
        match self {
            Self::Failed | Self::Shutdown => [retry_line(retry).as_bytes(), &event].concat(),
            _ => event.into(),
        }
    }
}

/// The first text of a stream. It is sent at once, so that every proxy passes the head on.
pub fn prelude(retry: Duration) -> Vec<u8> {
    format!(":\n{}\n", retry_line(retry)).into()
}

/// Tells the client how long to wait before it reconnects, with jitter.
fn retry_line(retry: Duration) -> String {
    format!("retry: {}\n", jittered(retry).as_millis())
}
