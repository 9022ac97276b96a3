//! One SSE stream of an MCP session. Its messages are numbered, so that a client can resume it.

use parking_lot::Mutex;

use crate::tunnel::queue::{Receiver, Sender, queue};

/// Bytes of messages that may wait for a client. A client that takes nothing loses its connection, and can resume.
const QUEUE_BYTES: usize = 4 << 20;

/// A message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Number in the stream, from 1. The event before the first message has the number 0.
    pub number: u64,
    /// JSON text of the message.
    pub message: String,
}

/// An entry for the event log.
#[derive(Debug)]
pub struct LogEntry {
    /// Name of the stream.
    pub stream: String,
    /// The message.
    pub numbered: Numbered,
}

struct State {
    last: u64,
    live: Option<Sender<Numbered>>,
    has_ended: bool,
}

/// A stream. It goes on while its client is away.
pub struct SessionStream {
    /// Name, unique in the session.
    pub name: String,
    state: Mutex<State>,
}

impl SessionStream {
    pub(super) fn new(name: String) -> Self {
        Self { name, state: Mutex::new(State { last: 0, live: None, has_ended: false }) }
    }

    /// Numbers a message and sends it to the client, if one is connected.
    pub(super) fn send(&self, message: String) -> Numbered {
        let mut state = self.state.lock();
        state.last += 1;
        let bytes = message.len();
        let numbered = Numbered { number: state.last, message };
        if state.live.as_ref().is_some_and(|live| live.send(numbered.clone(), bytes).is_err()) {
            state.live = None;
        }
        numbered
    }

    /// Connects a client. It gets the messages after the returned number. An earlier connection ends.
    pub fn attach(&self) -> (Receiver<Numbered>, u64) {
        let mut state = self.state.lock();
        let (sender, receiver) = queue(QUEUE_BYTES);
        state.live = (!state.has_ended).then_some(sender);
        (receiver, state.last)
    }

    /// Whether a client is connected.
    pub(super) fn has_client(&self) -> bool {
        self.state.lock().live.as_ref().is_some_and(Sender::has_receiver)
    }

    /// Ends the stream.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.has_ended = true;
        state.live = None;
    }
}
