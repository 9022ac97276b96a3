//! The state that operations, families and background jobs share, and the shutdown of a gateway.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, TryFutureExt,
    future::{BoxFuture, join_all},
};
use serde_json::json;
use tokio::{
    sync::{Mutex, Notify, mpsc},
    task::JoinError,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    audit::{AuditEvent, AuditKind, AuditLog},
    auth::{
        api_key::{ApiKeyError, ApiKeys},
        issuer::{ExternalCaller, IssuerError, Issuers},
        login_session::{LoginSessions, Principal, RefreshError, SessionGrant},
        session_cookie::SessionCookies,
        stream_token::StreamTokens,
        token::Tokens,
        user::Users,
    },
    bus::{Bus, Message},
    clock::{Clock, Reading},
    config::{Config, Overflow},
    database::{Database, DatabaseError},
    deadline::NextDeadline,
    event::Family,
    event_log::Retention,
    health::{DependencyKind, Health},
    http_client::DocumentError,
    hub::Hub,
    limit::{Limits, client_network},
    oauth::Oauth,
    telemetry::Telemetry,
    tunnel::{Disconnect, Tunnels},
    visibility::Visibility,
};

/// Interval between reads of a clock that is not stable yet.
const READING_INTERVAL: Duration = Duration::from_secs(1);

/// The state of a gateway.
pub struct Gateway {
    /// The configuration.
    pub config: Config,
    /// The metrics of this gateway.
    pub telemetry: Arc<Telemetry>,
    /// The health of the database, the bus, and external issuers and OAuth providers.
    pub health: Health,
    /// The database, for the rows of the families.
    pub database: Database,
    /// Signs and verifies tokens.
    pub tokens: Tokens,
    /// Verifies tokens of external issuers.
    pub issuers: Issuers,
    /// Creates, changes and finds users.
    pub users: Users,
    /// Creates, finds and authenticates API keys.
    pub api_keys: ApiKeys,
    /// Opens, checks and revokes login sessions.
    pub login_sessions: LoginSessions,
    /// Records security events.
    pub audit: AuditLog,
    /// The grants of users at upstream OAuth providers.
    pub oauth: Oauth,
    /// Signs and verifies session cookies.
    pub session_cookies: SessionCookies,
    /// Records the use of stream tokens.
    pub stream_tokens: StreamTokens,
    /// Checks quotas and gives slots.
    pub limits: Limits,
    /// Checks whether a resource exists and is visible to a user.
    pub visibility: Visibility,
    /// Live delivery and the event log.
    pub hub: Arc<Hub>,
    /// The tunnel clients that are connected to this gateway.
    pub tunnels: Tunnels,
    /// The clock of leases and sweeps.
    pub clock: Arc<Clock>,
    /// One work queue for each family.
    pub(crate) work_queues: [WorkQueue; Family::ALL.len()],
    /// Sends messages to other gateways.
    pub bus: Arc<dyn Bus>,
    /// The password of the first administrator. Absent if this start did not generate it.
    pub first_password: Option<String>,
    /// Receives messages from other gateways.
    pub(crate) bus_messages: Mutex<mpsc::Receiver<Message>>,
    /// The id of this gateway on the bus.
    pub(crate) node: Uuid,
    /// Tasks that a shutdown waits for.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when a shutdown is announced, before the gateway starts to shut down.
    pub(crate) leaving: CancellationToken,
    /// Cancelled when the gateway starts to shut down.
    pub(crate) stopping: CancellationToken,
}

/// Connects the workers that wait for work of a family with the code that adds work.
#[derive(Debug, Default)]
pub struct WorkQueue {
    /// Notified when there may be work to claim.
    pub available: Notify,
    /// Held during a claim. Without the lock, every waiting worker would start a write transaction for the same piece
    /// of work.
    pub claiming: Mutex<()>,
    /// The next time at which a lease of the family may expire.
    pub next_lease_end: NextDeadline,
}

impl Gateway {
    /// The settings of a family: the retention of its events, and the default overflow strategy of its streams.
    #[must_use]
    pub fn settings(&self, family: Family) -> (Retention, Overflow) {
        let Config { retention, overflow, .. } = &self.config;
        let (events, seconds, overflow) = match family {
            Family::Topology => {
                (retention.topology_events, retention.topology_seconds, overflow.topology)
            }
            Family::Notification => (
                retention.notification_events,
                retention.notification_seconds,
                overflow.notification,
            ),
            Family::McpSession => {
                (retention.mcp_session_events, retention.mcp_session_seconds, overflow.mcp_session)
            }
            Family::Task => (retention.task_events, retention.task_seconds, overflow.task),
            Family::Prompt => (retention.prompt_events, retention.prompt_seconds, overflow.prompt),
            Family::Tunnel => (retention.tunnel_events, retention.tunnel_seconds, overflow.tunnel),
        };
        (Retention { events, seconds }, overflow)
    }

    /// Runs `work` to its end, even if the caller is dropped. A shutdown waits for the end of `work`.
    pub async fn run_to_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.tasks.spawn(work).await
    }

    /// Runs `work` in a task that a shutdown waits for.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// The id of this gateway among all gateways on the database.
    #[must_use]
    pub fn node(&self) -> Uuid {
        self.node
    }

    /// Revokes a login session on all gateways.
    pub async fn revoke_login_session(&self, session: Uuid) -> Result<(), DatabaseError> {
        self.login_sessions.revoke(session).await?;
        self.bus.publish(self.node, Message::LoginSessionRevoked(session));
        Ok(())
    }

    /// Deletes an API key, and ends its streams on all gateways. `owner` is absent for the keys of all users.
    pub async fn delete_api_key(&self, owner: Option<Uuid>, key: Uuid) -> Result<(), ApiKeyError> {
        self.api_keys.delete(owner, key).await?;
        self.login_sessions.session_ended(key);
        self.bus.publish(self.node, Message::LoginSessionRevoked(key));
        Ok(())
    }

    /// Records the use of an API key. If the database fails, the request continues, and a later use is recorded.
    pub async fn api_key_used(&self, principal: &Principal, address: IpAddr) {
        let key = principal.session_id;
        let network = client_network(address);
        match self.api_keys.record_use(key, address, network).await {
            Ok(false) => {}
            Ok(true) => {
                let event = AuditEvent {
                    kind: AuditKind::ApiKeyNewAddress,
                    user: Some(principal.user_id),
                    actor: Some(principal.user_id),
                    session: Some(key),
                    address: Some(address),
                    data: json!({ "api_key_id": key }),
                };
                self.audit.record(event).await;
            }
            Err(error) => tracing::warn!(%error, %key, "the use of an API key was not recorded"),
        }
    }

    /// Exchanges a refresh token for the next one. If the token was used before, the login session is revoked on all
    /// gateways.
    pub async fn refresh(&self, token: &str) -> Result<SessionGrant, RefreshError> {
        let began = Instant::now();
        let opened = self.login_sessions.refresh(token).await;
        self.telemetry.latencies.token_refresh.record(began.elapsed());
        if let Err(RefreshError::Reused { session, .. }) = opened {
            self.bus.publish(self.node, Message::LoginSessionRevoked(session));
        }
        opened
    }

    /// The caller of a token of an external issuer. Records the creation of its user. If the role of the login session has
    /// changed, the other gateways check the streams of the user.
    pub async fn authenticate_external(
        &self,
        token: &str,
        address: Option<IpAddr>,
    ) -> Result<Principal, IssuerError> {
        let caller = self.issuers.authenticate(token, &self.login_sessions).await?;
        let ExternalCaller { principal, validation, is_new, has_new_role } = caller;
        self.telemetry.login_session_validated(validation);
        if has_new_role {
            self.bus.publish(self.node, Message::UserChanged(principal.user_id));
        }
        if is_new {
            let event = AuditEvent {
                kind: AuditKind::UserCreated,
                user: Some(principal.user_id),
                actor: Some(principal.user_id),
                session: Some(principal.session_id),
                address,
                data: json!({ "username": principal.username, "method": "issuer" }),
            };
            self.audit.record(event).await;
        }
        Ok(principal)
    }

    /// Checks every external issuer and OAuth provider, all at the same time.
    pub async fn check_upstreams(&self) {
        let check = async |kind, name, check: BoxFuture<'_, Result<(), DocumentError>>| {
            let checked = self.health.check(kind, name, check.map_err(DocumentError::name)).await;
            if let Some(took) = checked {
                self.telemetry.latencies.provider_check.record(took);
            }
        };
        let issuers = self.issuers.checks();
        let issuers = issuers.map(|(name, run)| check(DependencyKind::Issuer, name, run.boxed()));
        let providers = self.oauth.checks();
        let providers =
            providers.map(|(name, run)| check(DependencyKind::Provider, name, run.boxed()));
        tokio::join!(join_all(issuers), join_all(providers));
    }

    /// Revokes all login sessions of a user on all gateways.
    pub async fn revoke_user(&self, user: Uuid) -> Result<(), DatabaseError> {
        self.login_sessions.revoke_user(user).await?;
        self.bus.publish(self.node, Message::UserChanged(user));
        Ok(())
    }

    /// Checks the login sessions of a changed user again, on all gateways.
    pub async fn user_changed(&self, user: Uuid) -> Result<(), DatabaseError> {
        self.bus.publish(self.node, Message::UserChanged(user));
        self.login_sessions.recheck_user(user).await
    }

    /// Ends the connections that an expired stream token had before this one, on all gateways.
    pub fn stream_resumed(&self, token: Uuid, connection: Uuid) {
        self.end_replaced(token, connection);
        self.bus.publish(self.node, Message::StreamResumed { token, connection });
    }

    /// Ends the connections of a stream token on this gateway, except this one.
    pub(crate) fn end_replaced(&self, token: Uuid, connection: Uuid) {
        for replaced in self.stream_tokens.others(token, connection) {
            self.hub.replace(replaced);
        }
    }

    /// The work queue of a family.
    #[must_use]
    pub fn work_queue(&self, family: Family) -> &WorkQueue {
        &self.work_queues[family as usize]
    }

    /// Wakes the workers that wait for work of a family.
    pub fn notify_workers(&self, family: Family) {
        self.work_queue(family).available.notify_waiters();
    }

    /// Waits until the wall clock has been stable for long enough to delete by age. `None` if the gateway
    /// shuts down first.
    pub async fn stable_clock(&self) -> Option<Reading> {
        let stable = async {
            loop {
                let now = self.clock.read();
                if now.is_stable() {
                    break now;
                }
                sleep(READING_INTERVAL).await;
            }
        };
        self.stopping.run_until_cancelled(stable).await
    }

    /// Completes when the gateway starts to shut down.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Whether the gateway has started to shut down.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Reports that the gateway is not ready. Everything else works as before.
    pub fn announce_stop(&self) {
        self.leaving.cancel();
    }

    /// Whether a shutdown was announced or has started.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Ends every stream with `stream.closed`, and stops the background jobs.
    pub fn begin_stop(&self) {
        self.announce_stop();
        self.stopping.cancel();
        self.tunnels.close_all(Disconnect::ServerShutdown);
        self.hub.close();
    }

    /// Waits for running tasks, then closes the database. Neither step waits longer than the deadline.
    pub async fn finish_stop(&self, deadline: Instant) {
        self.tasks.close();
        if timeout_at(deadline, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                "the shutdown took too long: running tasks and open streams were aborted"
            );
        }
        // The job has ended with the other jobs. The clients can reconnect as soon as another process is there.
        match timeout_at(deadline, self.stream_tokens.write_changes()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the use of stream tokens was not recorded"),
            Err(_) => tracing::warn!(
                "the shutdown took too long: the use of stream tokens was not recorded"
            ),
        }
        match timeout_at(deadline, self.audit.write_waiting()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the last calls of tools are in this log only");
            }
            Err(_) => tracing::warn!(
                "the shutdown took too long: the last calls of tools are in this log only"
            ),
        }
        self.hub.abort();
        match timeout_at(deadline, self.database.clone().close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the database was not closed cleanly"),
            Err(_) => tracing::warn!("the shutdown took too long: the database was not closed"),
        }
    }
}
