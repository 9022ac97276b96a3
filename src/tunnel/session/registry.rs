//! The MCP sessions of this gateway.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use uuid::Uuid;

use super::{log_level::LogLevel, session::Session};
use crate::tunnel::message::Members;

/// The sessions in memory. A session that is missing here may be in the database.
#[derive(Default)]
pub struct Sessions {
    by_id: Mutex<HashMap<Uuid, Arc<Session>>>,
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

    /// Whether a session other than this one wants the updates of a resource.
    #[must_use]
    pub fn is_subscribed(&self, tunnel: Uuid, uri: &str, except: Uuid) -> bool {
        let by_id = self.by_id.lock();
        let mut others = by_id.values().filter(|it| it.tunnel == tunnel && it.id != except);
        others.any(|session| session.is_subscribed(uri))
    }
}
