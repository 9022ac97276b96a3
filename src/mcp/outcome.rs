//! The outcome of a message of an MCP client.

use super::running::Running;
use crate::tunnel::message::Members;

/// The outcome of a message.
pub enum Outcome {
    /// A notification or a response was taken.
    Accepted,
    /// The answer, which the gateway knows itself.
    Answered(Members),
    /// A request that goes on.
    Running(Running),
}
