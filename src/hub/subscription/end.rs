//! The reasons why streams end.

use std::time::Duration;

use serde_json::json;

use crate::{
    auth::login_session::Ended,
    event::{self, block},
    limit::jittered,
};

/// The reason why a stream ends. `stream.closed` and the metrics use these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The last event of the topic was sent.
    Completed,
    /// The stream has sent the maximum number of events that the client set.
    MaxEvents,
    /// The stream was open for the maximum time that the client set.
    MaxSeconds,
    /// The login session no longer allows the stream.
    Session(Ended),
    /// The gateway is stopping.
    Shutdown,
    /// The client was too slow, and its overflow strategy is to close the connection.
    Overflow,
    /// A caller has requested that the connection ends.
    Disconnected,
    /// Another connection has resumed the stream with the same expired stream token.
    Replaced,
    /// A read of the event log, of the state or of the caller's access failed.
    Failed,
    /// The client has closed the connection.
    ClientGone,
}

impl End {
    /// All reasons.
    pub const ALL: [Self; 13] = [
        Self::Completed,
        Self::MaxEvents,
        Self::MaxSeconds,
        Self::Session(Ended::Expired),
        Self::Session(Ended::Revoked),
        Self::Session(Ended::UserDisabled),
        Self::Session(Ended::RoleLowered),
        Self::Shutdown,
        Self::Overflow,
        Self::Disconnected,
        Self::Replaced,
        Self::Failed,
        Self::ClientGone,
    ];

    /// Name of the reason, in `stream.closed` and in metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::MaxEvents => "max_events",
            Self::MaxSeconds => "max_seconds",
            Self::Session(ended) => ended.reason(),
            Self::Shutdown => "shutdown",
            Self::Overflow => "overflow",
            Self::Disconnected => "disconnected",
            Self::Replaced => "replaced",
            Self::Failed => "failed",
            Self::ClientGone => "client_gone",
        }
    }

    /// Whether the stream has ended for good, so that an expired stream token must not resume it.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::Disconnected => true,
            // After its role was lowered, a user may still see the stream. A reconnect checks that.
            Self::Session(ended) => ended != Ended::RoleLowered,
            Self::MaxEvents
            | Self::MaxSeconds
            | Self::Shutdown
            | Self::Overflow
            | Self::Replaced
            | Self::Failed
            | Self::ClientGone => false,
        }
    }

    /// The last text of a stream. After a shutdown or a failure, the text tells the client how long to wait before it
    /// reconnects, with jitter. `failure` returns the data of the `error` event of a failed stream.
    pub fn text(self, retry: Duration, failure: impl FnOnce() -> String) -> Vec<u8> {
        let event = match self {
            // The client gets exactly the number of events that it set, so not even `stream.closed` may follow.
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

/// Tells the client how long to wait before it reconnects, with jitter.
///
/// This is also the first text of a stream. The gateway sends it at once, so that every proxy forwards the head of the
/// response. It is one line of the block of the first event, and not a block: several clients deliver a block without
/// data as an empty message.
pub fn retry_line(retry: Duration) -> String {
    format!("retry: {}\n", jittered(retry).as_millis())
}
