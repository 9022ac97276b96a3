//! The database: SQLite in the data directory, or PostgreSQL.
//!
//! SQLite allows one writer at a time, so the writer is a pool of one connection. Writers wait for it in a fair queue,
//! and do not get `SQLITE_BUSY`. Readers have their own pool. With the write-ahead log, they do not wait for the
//! writer. On PostgreSQL, readers and writers share one pool.
//!
//! Promise: a write that failed is never reported as committed, whatever fails between BEGIN and COMMIT: see
//! `connection.rs`. The gateway knows whether writes work without a query: see `writes.rs`.

mod connection;
mod failure;
mod writes;

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use migration::{Migrator, MigratorTrait};
use prometheus_client::registry::Registry;
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseBackend, DbErr, RuntimeErr, SqlxSqliteConnector,
    Statement, sqlx,
    sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

pub use connection::{Pool, Transaction};
pub use failure::{Failure, Fault};
/// An error of the database, for layers that do not use `sea_orm` themselves.
pub use sea_orm::DbErr as DatabaseError;

use connection::Connections;
use writes::Writes;

/// Longest wait for a free connection, and on SQLite for the write lock of another process.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of a probe. It is shorter than the wait for a lock that another process holds, so that readiness reports the
/// lock in time.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Timeout of a probe that decides whether writes work again.
const RECOVERY_PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Interval between probes while writes fail.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Size of the probe that must succeed before writes count as working again: 4 MiB, as much as one transaction of the
/// event log.
const RECOVERY_PROBE_BYTES: usize = 4 << 20;

/// Access to the database: the pool of readers and the pool of writers.
#[derive(Clone, Debug)]
pub struct Database {
    reader: Pool,
    writer: Pool,
    writes: Arc<Writes>,
    /// Held during a probe, so that only one runs at a time.
    probing: Arc<Mutex<()>>,
}

impl Database {
    /// Connects to `url`. Without a `url`, connects to the SQLite file `streamgate.db` in `data_dir`.
    /// `pool_size` limits the readers on SQLite and all connections on PostgreSQL.
    pub async fn connect(
        url: Option<&str>,
        data_dir: &Path,
        pool_size: u32,
    ) -> Result<Self, DbErr> {
        match url {
            Some(url) if !url.starts_with("sqlite:") => {
                let writes = Arc::new(Writes::new());
                let connections = Connections::new(Some(Arc::clone(&writes)));
                let hook = Arc::clone(&connections);
                let mut options = ConnectOptions::new(url);
                options
                    .max_connections(pool_size)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .sqlx_logging(false)
                    .map_sqlx_postgres_pool_opts(move |pool| {
                        let hook = Arc::clone(&hook);
                        pool.before_acquire(move |connection, meta| {
                            let admitted = hook.admit(connection, meta.age);
                            Box::pin(async move { Ok(admitted) })
                        })
                    });
                let pool = sea_orm::Database::connect(options).await?;
                Ok(Self {
                    reader: Pool::reader(pool.clone(), Arc::clone(&connections)),
                    writer: Pool::writer(pool, connections),
                    writes,
                    probing: Arc::default(),
                })
            }
            url => Self::connect_sqlite(sqlite_options(url, data_dir)?, pool_size).await,
        }
    }

    async fn connect_sqlite(file: SqliteConnectOptions, pool_size: u32) -> Result<Self, DbErr> {
        let file = file
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Committed writes survive a power failure, not only a crash of the program.
            .synchronous(SqliteSynchronous::Full)
            // Only another process (`migrate`, `user add`) can hold the write lock while this one needs it.
            .busy_timeout(ACQUIRE_TIMEOUT);
        let pool = |size, connections: &Arc<Connections>| {
            let hook = Arc::clone(connections);
            SqlitePoolOptions::new()
                .max_connections(size)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // A connection to a file cannot be cut by a network, so no test is needed.
                .test_before_acquire(false)
                .before_acquire(move |connection, meta| {
                    let admitted = hook.admit(connection, meta.age);
                    Box::pin(async move { Ok(admitted) })
                })
        };
        create_private(file.get_filename())?;
        let health = Arc::new(Writes::new());
        let writing = Connections::new(Some(Arc::clone(&health)));
        let reading = Connections::new(None);
        // The writer connects first, because it creates the file and turns on the write-ahead log. Readers cannot.
        let writer = pool(1, &writing).connect_with(file.clone()).await.map_err(connect_error)?;
        let reader = pool(pool_size, &reading).connect_with(file.read_only(true)).await;
        let reader = reader.map_err(connect_error)?;
        let orm = SqlxSqliteConnector::from_sqlx_sqlite_pool;
        Ok(Self {
            reader: Pool::reader(orm(reader), reading),
            writer: Pool::writer(orm(writer), writing),
            writes: health,
            probing: Arc::default(),
        })
    }

    /// Migrates the schema to the newest version, in one transaction. If several processes start at the same time, each
    /// waits for the others.
    pub async fn migrate(&self) -> Result<(), DbErr> {
        let tx = self.begin_migration().await?;
        Migrator::up(tx.inner(), None).await?;
        tx.commit().await
    }

    /// Whether the schema has all migrations of this program.
    pub async fn is_current(&self) -> Result<bool, DbErr> {
        Ok(Migrator::get_pending_migrations(self.writer.pool()).await?.is_empty())
    }

    /// Reverts the newest `steps` migrations, in one transaction.
    pub async fn migrate_down(&self, steps: u32) -> Result<(), DbErr> {
        let tx = self.begin_migration().await?;
        Migrator::down(tx.inner(), Some(steps)).await?;
        tx.commit().await
    }

    async fn begin_migration(&self) -> Result<Transaction, DbErr> {
        let tx = self.begin_write().await?;
        if tx.get_database_backend() == DatabaseBackend::Postgres {
            // On SQLite the transaction holds the only write lock. The number is arbitrary, but always the same.
            tx.execute_unprepared("SELECT pg_advisory_xact_lock(7021948115)").await?;
        }
        Ok(tx)
    }

    /// The pool for single statements that only read.
    #[must_use]
    pub fn reader(&self) -> &Pool {
        &self.reader
    }

    /// The pool for single statements that write.
    #[must_use]
    pub fn writer(&self) -> &Pool {
        &self.writer
    }

    /// Begins a transaction in which all queries see the same state of the database.
    pub async fn begin_read(&self) -> Result<Transaction, DbErr> {
        self.reader.begin().await
    }

    /// Begins a transaction that writes.
    pub async fn begin_write(&self) -> Result<Transaction, DbErr> {
        self.writer.begin().await
    }

    /// Checks whether the database answers and accepts writes. Cheap: it writes only if no write succeeded in the last
    /// 5 seconds.
    ///
    /// # Errors
    /// - The [`Fault`] of the current outage while writes are known to fail. Then no query is run.
    /// - The fault of the read or write that the check tries.
    /// - [`Fault::Unreachable`] if the database does not answer within 1.5 seconds, or [`Fault::Locked`] if SQLite
    ///   answers but does not finish the write in this time.
    pub async fn check(&self) -> Result<(), Fault> {
        if let Some(fault) = self.writes.fault() {
            return Err(fault);
        }
        match timeout(PROBE_TIMEOUT, self.reader.pool().ping()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.writes.request_probe();
                return Err(Failure::from_error(&error).fault().unwrap_or(Fault::Unreachable));
            }
            Err(_) => {
                self.writes.request_probe();
                return Err(Fault::Unreachable);
            }
        }
        let _one_at_a_time = self.probing.lock().await;
        if self.writes.fault().is_none() && !self.writes.is_fresh() {
            self.probe(1, PROBE_TIMEOUT).await;
        }
        self.writes.fault().map_or(Ok(()), Err)
    }

    /// Probes the database when a failure gives a reason, and once a second while writes fail, until they work again.
    /// Never returns.
    pub async fn watch_writes(&self) {
        loop {
            self.writes.probe_needed().await;
            match self.writes.outage() {
                // A damaged file needs an administrator and a restart, so no probe can end this outage.
                Some((Fault::Corrupt, _)) => {}
                Some((_, faults)) => {
                    let _one_at_a_time = self.probing.lock().await;
                    // After a failover the open connections may lead to the old server.
                    self.writer.discard_open();
                    // The second probe replaces the large row by a small one, which frees the space.
                    if self.probe(RECOVERY_PROBE_BYTES, RECOVERY_PROBE_TIMEOUT).await
                        && self.probe(1, RECOVERY_PROBE_TIMEOUT).await
                    {
                        self.writes.recovered(faults);
                    }
                }
                None => {
                    let _one_at_a_time = self.probing.lock().await;
                    self.probe(1, PROBE_TIMEOUT).await;
                }
            }
            sleep(PROBE_INTERVAL).await;
        }
    }

    /// Metrics of writes that fail.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.writes.register(registry);
    }

    /// Writes this number of bytes. Returns whether the write succeeded. A failure starts an outage of writes.
    async fn probe(&self, bytes: usize, patience: Duration) -> bool {
        let backend = self.writer.get_database_backend();
        // A random block that is longer than the window of PostgreSQL's compression, so that the row keeps its size.
        let block: String =
            (0..bytes.min(16 << 10)).map(|_| rand::random_range('a'..='z')).collect();
        let data = block.repeat(bytes.div_ceil(block.len()));
        let (sql, values) = (
            "INSERT INTO write_probe (id, data) VALUES (1, $1) \
             ON CONFLICT (id) DO UPDATE SET data = excluded.data",
            [data.into()],
        );
        let write = Statement::from_sql_and_values(backend, sql, values);
        let fault = match timeout(patience, self.writer.execute_raw(write)).await {
            Ok(Ok(_)) => return true,
            Ok(Err(error)) => match Failure::from_error(&error) {
                Failure::Fault(fault) => fault,
                Failure::Closed => return false,
                _ => {
                    tracing::error!(%error, "a test write to the database failed");
                    self.fault_after_timeout()
                }
            },
            Err(_) => self.fault_after_timeout(),
        };
        self.writes.failed(fault);
        false
    }

    /// The likely fault when a write does not end before its timeout.
    fn fault_after_timeout(&self) -> Fault {
        match self.writer.get_database_backend() {
            DatabaseBackend::Sqlite => Fault::Locked,
            _ => Fault::Unreachable,
        }
    }

    /// Waits until every connection is returned and closed. SQLite then merges its write-ahead log into the file.
    pub async fn close(self) -> Result<(), DbErr> {
        self.reader.pool().clone().close().await?;
        self.writer.pool().clone().close().await
    }
}

/// The SQLite file that [`Database::connect`] opens. Creates it if it is missing. `None` for PostgreSQL and for a
/// database in memory.
pub fn sqlite_file(url: Option<&str>, data_dir: &Path) -> Result<Option<PathBuf>, DbErr> {
    if url.is_some_and(|url| !url.starts_with("sqlite:")) {
        return Ok(None);
    }
    let options = sqlite_options(url, data_dir)?;
    let file = options.get_filename();
    create_private(file)?;
    Ok(is_plain(file).then(|| file.to_owned()))
}

fn sqlite_options(url: Option<&str>, data_dir: &Path) -> Result<SqliteConnectOptions, DbErr> {
    match url {
        Some(url) => url.parse().map_err(connect_error),
        None => Ok(SqliteConnectOptions::new().filename(data_dir.join("streamgate.db"))),
    }
}

/// Whether the name is a path: not a database in memory, and not a `file:` URI, which only SQLite can parse.
fn is_plain(file: &Path) -> bool {
    let name = file.to_string_lossy();
    !name.starts_with(':') && !name.starts_with("file:")
}

/// Creates the file with mode 0600: only its owner can read it. SQLite creates its other files with the same mode.
fn create_private(file: &Path) -> Result<(), DbErr> {
    if !is_plain(file) {
        return Ok(());
    }
    let created = OpenOptions::new().create(true).append(true).mode(0o600).open(file);
    created
        .map(drop)
        .map_err(|error| DbErr::Conn(RuntimeErr::Internal(format!("{}: {error}", file.display()))))
}

/// Converts an error of `sqlx` that occurs before `SeaORM` has a connection.
fn connect_error(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}
