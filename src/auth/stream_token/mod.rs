//! Stream tokens that were used: how an expired token resumes its stream, and why a token for one stream opens no
//! second one.
//!
//! A browser's `EventSource` reconnects with the URL that it was given, also after the stream token in the URL has
//! expired. So the use of a token is recorded in a row. While the row is there, the expired token can resume the same
//! topics after one of their cursors, and nothing else. The connection that resumes replaces the one before.
//!
//! | end of the stream | row |
//! |---|---|
//! | connection lost, gateway stopped or killed | stays for `tokens.resume_seconds` |
//! | last event sent, login session ended, connection deleted | deleted |
//!
//! Opening a stream does not wait for the row. A background job writes the rows of many opens in one statement. Another
//! job updates the rows of all open streams with every heartbeat, so the time in a row is at most a heartbeat too early.

mod open_tokens;
mod rows;
mod stream_tokens;

pub use open_tokens::OpenToken;
pub use stream_tokens::StreamTokens;
