//! The database: SQLite in the data directory, or PostgreSQL.
//!
//! SQLite allows one writer at a time. Here that is a pool of one connection, so that writers queue
//! in the program, fairly and without `SQLITE_BUSY`, beside a pool of readers that the write-ahead
//! log keeps out of their way. On PostgreSQL both names mean the same pool.
//!
//! Whatever fails between BEGIN and COMMIT, nothing counts as written that is not: see
//! `connection.rs`. Whether writes work at all is known without asking: see `writes.rs`.

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
    AccessMode, ConnectOptions, ConnectionTrait, DatabaseBackend, DatabaseConnection, DbErr,
    IsolationLevel, RuntimeErr, SqlxSqliteConnector, Statement, TransactionOptions, sqlx,
    sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

pub use connection::{Transaction, Writer};
pub use failure::{Failure, Fault};

use connection::Connections;
use writes::Writes;

/// How long a caller waits for a connection before it is told that the database is out of reach.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long SQLite waits for a lock that another process (`migrate`, `user add`) holds. Short, so
/// that the callers who wait for the writer meanwhile do not all run out of time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a probe of the writer may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// From one probe to the next while writes fail.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes that a probe writes before writes count as healed: as much as a large event with its share
/// of the database's own pages.
const HEALED_BYTES: usize = 256 << 10;

/// Both ways into the database.
#[derive(Clone, Debug)]
pub struct Database {
    reader: DatabaseConnection,
    readers: Arc<Connections>,
    writer: Writer,
    writes: Arc<Writes>,
    /// One probe at a time.
    probing: Arc<Mutex<()>>,
}

impl Database {
    /// Connects to `url`, or to the SQLite file `streamgate.db` in `data_dir` when there is none.
    /// `pool_size` bounds the readers on SQLite and all connections on PostgreSQL.
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
                    reader: pool.clone(),
                    readers: Arc::clone(&connections),
                    writer: Writer::new(pool, connections),
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
            // What has been acknowledged survives a power cut, not only a crash of the program.
            .synchronous(SqliteSynchronous::Full)
            // Only another process can hold the lock against us.
            .busy_timeout(BUSY_TIMEOUT);
        let pool = |size, connections: &Arc<Connections>| {
            let hook = Arc::clone(connections);
            SqlitePoolOptions::new()
                .max_connections(size)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // There is no network that could have cut a connection to a file.
                .test_before_acquire(false)
                .before_acquire(move |connection, meta| {
                    let admitted = hook.admit(connection, meta.age);
                    Box::pin(async move { Ok(admitted) })
                })
        };
        create_private(file.get_filename())?;
        let writes = Arc::new(Writes::new());
        let writers = Connections::new(Some(Arc::clone(&writes)));
        let readers = Connections::new(None);
        // The writer first: it creates the file and turns the log on, which readers cannot.
        let writer = pool(1, &writers).connect_with(file.clone()).await.map_err(connect_error)?;
        let reader = pool(pool_size, &readers).connect_with(file.read_only(true)).await;
        let writer = SqlxSqliteConnector::from_sqlx_sqlite_pool(writer);
        Ok(Self {
            reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader.map_err(connect_error)?),
            readers,
            writer: Writer::new(writer, writers),
            writes,
            probing: Arc::default(),
        })
    }

    /// Brings the schema up to date, all of it or nothing. Programs that start together wait for one
    /// another.
    pub async fn migrate(&self) -> Result<(), DbErr> {
        let tx = self.begin_migration().await?;
        Migrator::up(tx.inner(), None).await?;
        tx.commit().await
    }

    /// Whether the schema is the one that this program was made for.
    pub async fn is_current(&self) -> Result<bool, DbErr> {
        Ok(Migrator::get_pending_migrations(self.writer.pool()).await?.is_empty())
    }

    /// Takes back the newest `steps` migrations.
    pub async fn migrate_down(&self, steps: u32) -> Result<(), DbErr> {
        let tx = self.begin_migration().await?;
        Migrator::down(tx.inner(), Some(steps)).await?;
        tx.commit().await
    }

    async fn begin_migration(&self) -> Result<Transaction, DbErr> {
        let tx = self.begin_write().await?;
        if tx.get_database_backend() == DatabaseBackend::Postgres {
            // SQLite's transaction has the only write lock there is. The number is any, but ours.
            tx.execute_unprepared("SELECT pg_advisory_xact_lock(7021948115)").await?;
        }
        Ok(tx)
    }

    /// For single statements that only read.
    #[must_use]
    pub fn reader(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// For single statements that write.
    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Begins a transaction that sees the database as of one moment, however many queries it makes.
    pub async fn begin_read(&self) -> Result<Transaction, DbErr> {
        let mut options = TransactionOptions::default();
        if self.reader.get_database_backend() == DatabaseBackend::Postgres {
            options.isolation_level = Some(IsolationLevel::RepeatableRead);
            options.access_mode = Some(AccessMode::ReadOnly);
        }
        connection::begin(&self.reader, &self.readers, options).await
    }

    /// Begins a transaction that writes. On SQLite it takes the write lock at once: taking it
    /// later, after a read, fails when another process wrote in between.
    pub async fn begin_write(&self) -> Result<Transaction, DbErr> {
        self.writer.begin().await
    }

    /// One round trip of a reader.
    pub async fn ping(&self) -> Result<(), DbErr> {
        self.reader.ping().await
    }

    /// Whether the database takes writes. Cheap: asks the database only if nothing was written in
    /// the last 5 seconds, and not while writes are known to fail.
    pub async fn check_writes(&self) -> Result<(), Fault> {
        if let Some(fault) = self.writes.fault() {
            return Err(fault);
        }
        let _one_at_a_time = self.probing.lock().await;
        if self.writes.fault().is_none() && !self.writes.is_fresh() {
            self.probe(1).await;
        }
        self.writes.fault().map_or(Ok(()), Err)
    }

    /// Notices, for as long as it runs, when writes work again.
    pub async fn watch_writes(&self) {
        loop {
            self.writes.failure().await;
            sleep(PROBE_INTERVAL).await;
            let _one_at_a_time = self.probing.lock().await;
            // After a failover those that are open may lead to the old server.
            self.writer.retire();
            // What the probe wrote need not stay.
            if self.probe(HEALED_BYTES).await && self.probe(1).await {
                self.writes.healed();
            }
        }
    }

    /// Metrics of writes that fail.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.writes.register(registry);
    }

    /// Writes so many bytes. Whether that worked; why not is kept.
    async fn probe(&self, bytes: usize) -> bool {
        let backend = self.writer.get_database_backend();
        // Random, because PostgreSQL compresses what repeats.
        let data: String = (0..bytes).map(|_| rand::random_range('a'..='z')).collect();
        let (sql, values) = (
            "INSERT INTO write_probe (id, data) VALUES (1, $1) \
             ON CONFLICT (id) DO UPDATE SET data = excluded.data",
            [data.into()],
        );
        let write = Statement::from_sql_and_values(backend, sql, values);
        match timeout(PROBE_TIMEOUT, self.writer.execute_raw(write)).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                if Failure::of(&error).fault().is_none() {
                    tracing::error!(%error, "a probe of the database failed");
                    self.writes.failed(self.silence());
                }
                false
            }
            Err(_) => {
                self.writes.failed(self.silence());
                false
            }
        }
    }

    /// Why nothing is heard of a write.
    fn silence(&self) -> Fault {
        match self.writer.get_database_backend() {
            DatabaseBackend::Sqlite => Fault::Locked,
            _ => Fault::Unreachable,
        }
    }

    /// Waits until every connection is back and closed, so that SQLite folds its log into the file.
    pub async fn close(self) -> Result<(), DbErr> {
        self.reader.close().await?;
        self.writer.pool().clone().close().await
    }
}

/// The SQLite file that [`Database::connect`] opens; it is created if it is missing. There is none on
/// PostgreSQL or in memory.
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

/// Not in memory, and not a file of another kind that only SQLite can read the name of.
fn is_plain(file: &Path) -> bool {
    let name = file.to_string_lossy();
    !name.starts_with(':') && !name.starts_with("file:")
}

/// Makes the file for its owner only; SQLite gives the same mode to the files beside it.
fn create_private(file: &Path) -> Result<(), DbErr> {
    if !is_plain(file) {
        return Ok(());
    }
    let made = OpenOptions::new().create(true).append(true).mode(0o600).open(file);
    made.map(drop)
        .map_err(|error| DbErr::Conn(RuntimeErr::Internal(format!("{}: {error}", file.display()))))
}

/// An error of `sqlx` before there is a connection of `SeaORM`.
fn connect_error(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}
