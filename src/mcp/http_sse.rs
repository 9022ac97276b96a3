//! Clients that speak HTTP+SSE (MCP 2024-11-05, HTTP with SSE).

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    auth::login_session::Principal,
    family::mcp_session,
    gateway::Gateway,
    tunnel::session::{SessionStream, SseClient},
};

/// The connection of a client. When it is dropped, the session of the client ends.
pub struct SseConnection {
    gateway: Arc<Gateway>,
    client: Arc<SseClient>,
}

impl SseConnection {
    /// Begins the connection of a user to a tunnel.
    #[must_use]
    pub fn begin(gateway: &Arc<Gateway>, principal: &Principal, tunnel: Uuid) -> Self {
        let client = Arc::new(SseClient::new((tunnel, principal.user_id)));
        gateway.tunnels.sessions.insert_sse(Arc::clone(&client));
        Self { gateway: Arc::clone(gateway), client }
    }

    /// The id of the client, for its messages.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.client.id
    }

    /// The stream of the messages to the client.
    #[must_use]
    pub fn stream(&self) -> &SessionStream {
        &self.client.stream
    }
}

impl Drop for SseConnection {
    fn drop(&mut self) {
        self.gateway.tunnels.sessions.remove_sse(self.client.id);
        let Some(session) = self.client.disconnect() else { return };
        let gateway = Arc::clone(&self.gateway);
        self.gateway.spawn(async move {
            if let Err(error) = mcp_session::close_disconnected(&gateway, session.id).await {
                // The sweep closes it later, because nobody uses it.
                tracing::warn!(session = %session.id, %error, "an MCP session was not closed");
            }
        });
    }
}
