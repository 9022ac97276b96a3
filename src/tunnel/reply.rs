//! The messages of an MCP server on their way to callers.

use super::message::Members;

/// A message for a caller, with the caller's own ids.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A notification that belongs to the request.
    Notification(Members),
    /// A request of the MCP server to the caller. Its id is for [`Connection::answer`](super::Connection::answer).
    Request(Members),
    /// The response. Nothing follows.
    Answer(Members),
}

/// The way of a message of the MCP server.
#[derive(Debug, PartialEq)]
pub(super) enum Routed {
    /// The message has reached its caller, or its caller has gone. Send these messages to the MCP server.
    Done(Vec<Members>),
    /// The notification belongs to no request.
    Unasked(Members),
}
