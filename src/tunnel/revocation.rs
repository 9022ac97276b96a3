//! Ends what a user does with a tunnel that is not shared with him any more.

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Whether a tunnel is still shared with the user of a request. Never revoked for its owner.
#[derive(Clone, Debug)]
pub struct Revocation(Option<Arc<CancellationToken>>);

impl Revocation {
    /// The owner of a tunnel can always use it.
    pub const NEVER: Self = Self(None);

    /// Whether the tunnel is not shared with the user any more.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.0.as_ref().is_some_and(|token| token.is_cancelled())
    }

    /// Completes when the tunnel is not shared with the user any more.
    pub async fn revoked(&self) {
        match &self.0 {
            Some(token) => token.cancelled().await,
            None => pending().await,
        }
    }
}

/// The uses of tunnels by users that do not own them.
#[derive(Debug, Default)]
pub struct Revocations {
    tokens: Mutex<HashMap<(Uuid, Uuid), Weak<CancellationToken>>>,
}

impl Revocations {
    /// Begins a use of a tunnel by this user. Call it before you look up whether the user may use the tunnel.
    pub fn begin(&self, tunnel: Uuid, user: Uuid) -> Revocation {
        let mut tokens = self.tokens.lock();
        let known = tokens.entry((tunnel, user)).or_default();
        let token = known.upgrade().unwrap_or_else(|| {
            let token = Arc::new(CancellationToken::new());
            *known = Arc::downgrade(&token);
            token
        });
        Revocation(Some(token))
    }

    /// Ends every use of a tunnel by this user.
    pub fn revoke(&self, tunnel: Uuid, user: Uuid) {
        let token = self.tokens.lock().remove(&(tunnel, user)).and_then(|token| token.upgrade());
        if let Some(token) = token {
            token.cancel();
        }
    }

    /// The tunnels and the users that use them now.
    #[must_use]
    pub fn all(&self) -> Vec<(Uuid, Uuid)> {
        let mut tokens = self.tokens.lock();
        tokens.retain(|_, token| token.strong_count() > 0);
        tokens.keys().copied().collect()
    }
}
