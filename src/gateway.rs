//! The one shared state: every engine, built in start order, and the background work.

mod background;

use std::{sync::Arc, time::Duration};

use sea_orm::DbErr;
use tokio::{
    sync::{Mutex, Notify},
    task::JoinError,
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    auth::login_session::{LoginSessions, Opened, RefreshError},
    auth::token::{KeyError, Tokens},
    auth::user::{UserError, Users},
    bus::{Bus, BusError, Message},
    clock::{Clock, Source},
    config::{Config, Overflow},
    data_dir::{self, DataDirError},
    database::Database,
    deadline::NextDeadline,
    event::Family,
    event_log::{EventLog, Retention},
    hub::{self, Hub},
    limit::{self, Limits},
    telemetry::Telemetry,
    visibility::Visibility,
};

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be made or used.
    #[error(transparent)]
    DataDirectory(#[from] DataDirError),
    /// The database cannot be opened or brought up to date.
    #[error("database.url: cannot open the database or bring it up to date")]
    Database(#[from] DbErr),
    /// The schema is an older one, and bringing it up to date is turned off.
    #[error("database.migrate is off and the schema is not up to date: run `streamgate migrate`")]
    Schema,
    /// The signing keys cannot be loaded.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The first administrator cannot be made.
    #[error("cannot make the first administrator (STREAMGATE_ADMIN_PASSWORD)")]
    Admin(#[from] UserError),
    /// The threads that hold sockets cannot be started.
    #[error("cannot start the threads that hold sockets")]
    Reactor(#[source] std::io::Error),
    /// The bus cannot be joined.
    #[error(transparent)]
    Bus(#[from] BusError),
}

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
    /// Rings when a lease may have run out.
    pub next_lease_end: NextDeadline,
    work: [Work; Family::ALL.len()],
    /// The way to the other gateways.
    pub bus: Arc<dyn Bus>,
    /// The password of the first administrator, if this start made it up.
    pub first_password: Option<String>,
    node: Uuid,
    tasks: TaskTracker,
    /// Cancelled when the service is to end.
    stopping: CancellationToken,
}

/// Work of a family that is to be claimed.
#[derive(Debug, Default)]
pub struct Work {
    /// Told when there may be some.
    pub news: Notify,
    /// Whose turn it is to look: of all who wait, one after the other, lest all of them ask the
    /// database to write for the one that there is.
    pub turn: Mutex<()>,
}

/// One for each core, unless configured otherwise.
fn reactors(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        some => some,
    }
}

/// Opens the database of this configuration, without touching its schema.
pub async fn open_database(config: &Config) -> Result<Database, StartError> {
    data_dir::make(&config.data_dir)?;
    let url = config.database.url.as_deref();
    Ok(Database::connect(url, &config.data_dir, config.database.pool_size).await?)
}

impl Gateway {
    /// Builds everything from the ground up and starts the background work. `time` is where the
    /// time comes from. `admin_password` is for the first administrator, should there be no user yet.
    pub async fn start(
        config: Config,
        bus: Arc<dyn Bus>,
        time: Arc<dyn Source>,
        admin_password: Option<String>,
    ) -> Result<Arc<Self>, StartError> {
        let database = open_database(&config).await?;
        if config.database.migrate {
            database.migrate().await?;
        } else if !database.is_current().await? {
            return Err(StartError::Schema);
        }
        let mut telemetry = Telemetry::new();
        database.register_metrics(telemetry.registry());
        let telemetry = Arc::new(telemetry);
        let (jumps, offset) = telemetry.clock();
        let clock = Arc::new(Clock::new(time, jumps, offset));
        let heartbeat = Duration::from_secs(config.streams.heartbeat_seconds);
        let tokens = Tokens::load(
            &config.data_dir,
            &config.tokens.issuer,
            &config.tokens.audience,
            &config.tokens.algorithms,
            Duration::from_secs(config.tokens.access_seconds),
            telemetry.cache("token"),
            &clock,
        )?;
        let users = Users::new(database.clone());
        let session_life = Duration::from_secs(config.tokens.session_seconds);
        let tasks = TaskTracker::new();
        let node = Uuid::new_v4();
        let news = bus.join(node).await?;
        for family in Family::ALL {
            telemetry.expect_family(family.name());
        }
        let hub = Hub::new(
            EventLog::new(database.clone(), Arc::clone(&clock)),
            Arc::clone(&bus),
            node,
            hub::Settings {
                heartbeat,
                buffer_events: config.streams.buffer_events,
                retry: Duration::from_secs(config.streams.retry_seconds),
                reactors: reactors(config.streams.reactor_threads),
                io_uring: config.streams.io_uring,
            },
            Arc::clone(&telemetry),
            tasks.clone(),
        )
        .map_err(StartError::Reactor)?;
        let limits = Limits::new(limit::Settings {
            streams_per_user: config.limits.streams_per_user,
            requests_per_minute: config.limits.requests_per_minute,
            stream_opens_per_minute: config.limits.stream_opens_per_minute,
            logins_per_minute_per_user: config.limits.logins_per_minute_per_user,
            logins_per_minute_per_name: config.limits.logins_per_minute_per_name,
            logins_per_minute_per_address: config.limits.logins_per_minute_per_address,
        });
        // Last, because a password that was made up must be shown: nothing after this can fail.
        let first_password = users.bootstrap(admin_password).await?;
        let gateway = Arc::new(Self {
            sessions: LoginSessions::new(
                database.clone(),
                session_life,
                heartbeat,
                telemetry.cache("session"),
                &clock,
            ),
            visibility: Visibility::new(heartbeat, telemetry.cache("visibility"), &clock),
            config,
            telemetry,
            database,
            tokens,
            users,
            limits,
            hub,
            clock,
            next_lease_end: NextDeadline::default(),
            work: Default::default(),
            bus,
            first_password,
            node,
            tasks,
            stopping: CancellationToken::new(),
        });
        gateway.every(heartbeat, Self::recheck);
        gateway.every(Duration::from_secs(gateway.config.retention.sweep_seconds), Self::sweep);
        gateway.listen(news);
        gateway.watch_sessions();
        gateway.watch_writes();
        Ok(gateway)
    }

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
    pub async fn revoke_session(&self, session: Uuid) -> Result<(), DbErr> {
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
    pub async fn revoke_user(&self, user: Uuid) -> Result<(), DbErr> {
        self.sessions.revoke_user(user).await?;
        self.bus.publish(self.node, Message::UserChanged(user));
        Ok(())
    }

    /// Tells the streams of a user, here and everywhere, that the user was changed.
    pub async fn user_changed(&self, user: Uuid) -> Result<(), DbErr> {
        self.bus.publish(self.node, Message::UserChanged(user));
        self.sessions.recheck_user(user).await
    }

    /// What is to be claimed of a family.
    #[must_use]
    pub fn work(&self, family: Family) -> &Work {
        &self.work[family as usize]
    }

    /// There may be something to claim of a family.
    pub fn offer(&self, family: Family) {
        self.work(family).news.notify_waiters();
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
