//! The MCP sessions of this gateway.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use uuid::Uuid;

use super::{log_level::LogLevel, session::Session, sse_client::SseClient};
use crate::tunnel::message::Members;

/// The sessions in memory. A session that is missing here may be in the database.
#[derive(Default)]
pub struct Sessions {
    by_id: Mutex<HashMap<Uuid, Arc<Session>>>,
    /// The connected clients that speak HTTP+SSE.
    sse_clients: Mutex<HashMap<Uuid, Arc<SseClient>>>,
}

impl Sessions {
    /// Adds a session. Returns the one that is there already, if there is one.
    pub fn insert(&self, session: Arc<Session>) -> Arc<Session> {
        Arc::clone(self.by_id.lock().entry(session.id).or_insert(session))
    }

    /// The session with this id.
    #[must_use]
    pub fn find(&self, id: Uuid) -> Option<Arc<Session>> {
        self.by_id.lock().get(&id).cloned()
    }

    /// Adds a client that speaks HTTP+SSE.
    pub fn insert_sse(&self, client: Arc<SseClient>) {
        self.sse_clients.lock().insert(client.id, client);
    }

    /// The client with this id, if it is of this tunnel and this user.
    #[must_use]
    pub fn find_sse(&self, id: Uuid, of: (Uuid, Uuid)) -> Option<Arc<SseClient>> {
        let client = self.sse_clients.lock().get(&id).cloned();
        client.filter(|client| (client.tunnel, client.user) == of)
    }

    /// Removes a client.
    pub fn remove_sse(&self, id: Uuid) {
        self.sse_clients.lock().remove(&id);
    }

    /// Removes and ends a session.
    pub fn end(&self, id: Uuid) {
        let session = self.by_id.lock().remove(&id);
        if let Some(session) = session {
            session.end();
        }
    }

    /// Ends every session.
    pub fn end_all(&self) {
        for (_, session) in self.by_id.lock().drain() {
            session.end();
        }
    }

    /// Sends a notification that belongs to no request to the sessions of a tunnel that want it.
    pub fn send_unasked(&self, tunnel: Uuid, notification: &Members) {
        let all: Vec<_> = self.by_id.lock().values().cloned().collect();
        for session in all {
            if session.tunnel == tunnel && session.wants(notification) {
                session.send_unasked(notification);
            }
        }
    }

    /// The ids of all sessions.
    #[must_use]
    pub fn ids(&self) -> Vec<Uuid> {
        self.by_id.lock().keys().copied().collect()
    }

    /// The most verbose log level that the sessions of a tunnel want.
    #[must_use]
    pub fn log_level(&self, tunnel: Uuid) -> LogLevel {
        let by_id = self.by_id.lock();
        let of_tunnel = by_id.values().filter(|session| session.tunnel == tunnel);
        of_tunnel.map(|session| session.log_level()).min().unwrap_or_default()
    }

    /// Whether a session wants the updates of a resource, other than this one.
    #[must_use]
    pub fn is_subscribed(&self, tunnel: Uuid, uri: &str, except: Option<Uuid>) -> bool {
        let by_id = self.by_id.lock();
        let mut others = by_id.values().filter(|it| it.tunnel == tunnel && Some(it.id) != except);
        others.any(|session| session.is_subscribed(uri))
    }
}
