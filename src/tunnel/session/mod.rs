//! Sessions of MCP clients of the legacy era.
//!
//! A session has SSE streams: one for each request whose answer is a stream, and one for messages that belong to no
//! request. A message is numbered in its stream and goes to the client at once. The event log gets it in the
//! background, for a client that resumes. So no client waits for a commit.

mod log_level;
mod registry;
#[expect(clippy::module_inception, reason = "the file has the type of the module")]
mod session;
mod sse_client;
mod stream;

pub use log_level::LogLevel;
pub use registry::Sessions;
pub use session::{ForLog, MAX_URI_BYTES, McpClient, Session};
pub use sse_client::SseClient;
pub use stream::{LogEntry, Numbered, SessionStream};
