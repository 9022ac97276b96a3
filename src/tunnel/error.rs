//! The reasons why a tunnel ends, and why a request through it gets no answer.

use std::time::Duration;

/// The reason why the connection of a tunnel client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// The client said goodbye, or closed the WebSocket.
    Client,
    /// The connection broke.
    ConnectionLost,
    /// The MCP server did not answer a probe.
    Unresponsive,
    /// The client broke the protocol.
    Protocol,
    /// The client sent a message that is too large.
    MessageTooLarge,
    /// The same client has connected again.
    Replaced,
    /// The login session or the API key of the client has ended.
    SessionEnded,
    /// The tunnel was deleted.
    Deleted,
    /// The gateway shuts down.
    ServerShutdown,
}

/// The reason why a request gets no answer of the MCP server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The tunnel client is not connected any more.
    #[error("the tunnel client has disconnected")]
    Disconnected,
    /// The MCP server sent nothing for the request in this time.
    #[error("the MCP server sent nothing for this request in {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// The message is larger than the tunnel client accepts.
    #[error("the message has {bytes} bytes as a frame, and the tunnel client accepts {limit}")]
    TooLarge {
        /// Size of the frame.
        bytes: usize,
        /// Largest frame.
        limit: usize,
    },
    /// The tunnel has as many requests in flight as it may have, or a user who is not its owner.
    #[error("as many requests are in flight as are allowed: {0}")]
    TooManyInFlight(usize),
    /// The tunnel client does not read what is waiting for it.
    #[error("the tunnel client is too slow: too many bytes wait for it")]
    ClientTooSlow,
    /// The caller does not read the messages of its request.
    #[error("the caller is too slow: too many messages of this request wait for it")]
    CallerTooSlow,
    /// The caller has cancelled the request.
    #[error("the request was cancelled")]
    Cancelled,
    /// The MCP server sent an answer that is not JSON as the gateway accepts it.
    #[error("the answer of the MCP server is not valid JSON: {0}")]
    InvalidAnswer(String),
}

impl CallError {
    /// Every outcome of a request without an answer.
    pub const OUTCOMES: [&'static str; 8] = [
        "disconnected",
        "timed_out",
        "too_large",
        "too_many_in_flight",
        "client_too_slow",
        "caller_too_slow",
        "cancelled",
        "invalid_answer",
    ];

    /// The outcome in metrics.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        let position = match self {
            Self::Disconnected => 0,
            Self::TimedOut(_) => 1,
            Self::TooLarge { .. } => 2,
            Self::TooManyInFlight(_) => 3,
            Self::ClientTooSlow => 4,
            Self::CallerTooSlow => 5,
            Self::Cancelled => 6,
            Self::InvalidAnswer(_) => 7,
        };
        Self::OUTCOMES[position]
    }
}
