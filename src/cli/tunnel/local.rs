//! A local MCP server, whatever it speaks.

use std::time::Duration;

use tokio::{sync::mpsc, task::JoinHandle};

/// Messages that wait in each direction. A server that sends more waits until the gateway takes them.
pub(super) const WAITING: usize = 1_024;

/// Time after which a server or a connection counts as one that works, so that the next fault is handled at once.
pub(super) const WORKS: Duration = Duration::from_secs(10);

/// The messages of a local MCP server.
pub(super) struct Server {
    /// To the server. Closed when the server has ended.
    pub(super) input: mpsc::Sender<String>,
    /// From the server. Ends when the server has ended.
    pub(super) output: mpsc::Receiver<String>,
    /// Completes when the server and its processes are gone. Returns how it ended.
    pub(super) ended: JoinHandle<String>,
}
