//! What operations and families take: every engine, and how the gateway stops.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, Notify, mpsc},
    task::JoinError,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    auth::{
        login_session::{LoginSessions, Opened, RefreshError},
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
    hub::Hub,
    limit::Limits,
    telemetry::Telemetry,
    visibility::Visibility,
};

/// Interval at which a clock that is not yet stable is read.
const READING_INTERVAL: Duration = Duration::from_secs(1);

/// Everything that an operation needs.
pub struct Gateway {
    /// The settings.
    pub config: Config,
    /// Metrics.
    pub telemetry: Arc<Telemetry>,
    /// The database, for the rows of the families.
    pub database: Database,
    /// Signing and verifying.
    pub tokens: Tokens,
    /// Who may log in.
    pub users: Users,
    /// Who is logged in.
    pub sessions: LoginSessions,
    /// Quotas and slots.
    pub limits: Limits,
    /// What there is to be seen.
    pub visibility: Visibility,
    /// Live delivery and the event log.
    pub hub: Arc<Hub>,
    /// What leases and sweeps go by.
    pub clock: Arc<Clock>,
    pub(crate) work_queues: [WorkQueue; Family::ALL.len()],
    /// The way to the other gateways.
    pub bus: Arc<dyn Bus>,
    /// The password of the first administrator, if this start made it up.
    pub first_password: Option<String>,
    /// Messages from other gateways.
    pub(crate) bus_messages: Mutex<mpsc::Receiver<Message>>,
    pub(crate) node: Uuid,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the service is to end.
    pub(crate) stopping: CancellationToken,
}

/// Signals between the workers that wait for work of a family and what adds work.
#[derive(Debug, Default)]
pub struct WorkQueue {
    /// Notified when there may be work to claim.
    pub available: Notify,
    /// Held during a claim. Without it every waiting worker would start a write transaction for the same
    /// piece of work.
    pub claiming: Mutex<()>,
    /// The next moment at which a lease of the family may expire.
    pub next_lease_end: NextDeadline,
}

impl Gateway {
    /// What is configured for a family: how long events are kept, and what becomes of slow
    /// subscribers that do not say what they want.
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
        };
        (Retention { events, seconds }, overflow)
    }

    /// Runs `work` to its end even if the caller does not wait for it, and lets a shutdown wait.
    pub async fn see_through<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.tasks.spawn(work).await
    }

    /// Ends a session here and, through the bus, everywhere.
    pub async fn revoke_session(&self, session: Uuid) -> Result<(), DatabaseError> {
        self.sessions.revoke(session).await?;
        self.bus.publish(self.node, Message::SessionRevoked(session));
        Ok(())
    }

    /// Exchanges a refresh token for its successor; tells others of a session that this revoked.
    pub async fn refresh(&self, token: &str) -> Result<Opened, RefreshError> {
        let opened = self.sessions.refresh(token).await;
        if let Err(RefreshError::Reused(session)) = opened {
            self.bus.publish(self.node, Message::SessionRevoked(session));
        }
        opened
    }

    /// Ends all sessions of a user here and, through the bus, everywhere.
    pub async fn revoke_user(&self, user: Uuid) -> Result<(), DatabaseError> {
        self.sessions.revoke_user(user).await?;
        self.bus.publish(self.node, Message::UserChanged(user));
        Ok(())
    }

    /// Tells the streams of a user, here and everywhere, that the user was changed.
    pub async fn user_changed(&self, user: Uuid) -> Result<(), DatabaseError> {
        self.bus.publish(self.node, Message::UserChanged(user));
        self.sessions.recheck_user(user).await
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
    pub async fn settled(&self) -> Option<Reading> {
        let settled = async {
            loop {
                let now = self.clock.read();
                if now.is_settled() {
                    break now;
                }
                sleep(READING_INTERVAL).await;
            }
        };
        self.stopping.run_until_cancelled(settled).await
    }

    /// Waits until the service is to end.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Says goodbye on every stream and stops the periodic work.
    pub fn begin_stop(&self) {
        self.stopping.cancel();
        self.hub.close();
    }

    /// Waits for what is being written and closes the database, until the deadline.
    pub async fn finish_stop(&self, deadline: Instant) {
        self.tasks.close();
        if timeout_at(deadline, self.tasks.wait()).await.is_err() {
            tracing::warn!("background work and open streams are cut off");
        }
        self.hub.abort();
        match timeout_at(deadline, self.database.clone().close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the database was not closed cleanly"),
            Err(_) => tracing::warn!("the database did not close in time"),
        }
    }
}
