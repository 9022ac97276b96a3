//! A client that speaks HTTP+SSE (MCP 2024-11-05, HTTP with SSE): one stream has all messages to it.

use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use super::{session::Session, stream::SessionStream};

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    has_disconnected: bool,
}

/// A client.
pub struct SseClient {
    /// Its id, in the path for its messages.
    pub id: Uuid,
    /// Id of the tunnel.
    pub tunnel: Uuid,
    /// Id of the user.
    pub user: Uuid,
    /// The messages to it.
    pub stream: Arc<SessionStream>,
    state: Mutex<State>,
}

impl SseClient {
    /// A client that has connected, with its tunnel and its user.
    #[must_use]
    pub fn new((tunnel, user): (Uuid, Uuid)) -> Self {
        let stream = Arc::new(SessionStream::new("sse".to_owned()));
        Self { id: Uuid::new_v4(), tunnel, user, stream, state: Mutex::default() }
    }

    /// The session, after `initialize`.
    pub fn session(&self) -> Option<Arc<Session>> {
        self.state.lock().session.clone()
    }

    /// Sets the session. Returns false if there is one, or if the client has disconnected.
    #[must_use]
    pub fn set_session(&self, session: &Arc<Session>) -> bool {
        let mut state = self.state.lock();
        let is_free = state.session.is_none() && !state.has_disconnected;
        if is_free {
            state.session = Some(Arc::clone(session));
        }
        is_free
    }

    /// The client has disconnected. Returns its session.
    pub fn disconnect(&self) -> Option<Arc<Session>> {
        let mut state = self.state.lock();
        state.has_disconnected = true;
        state.session.clone()
    }
}
