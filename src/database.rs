//! The database: SQLite in the data directory, or PostgreSQL.
//!
//! SQLite allows one writer at a time. Here that is a pool of one connection, so that writers queue
//! in the program, fairly and without `SQLITE_BUSY`, beside a pool of readers that the write-ahead
//! log keeps out of their way. On PostgreSQL both names mean the same pool.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use migration::{Migrator, MigratorTrait};
use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, DatabaseBackend, DatabaseConnection,
    DatabaseTransaction, DbErr, IsolationLevel, RuntimeErr, SqliteTransactionMode,
    SqlxSqliteConnector, TransactionOptions, TransactionTrait, sqlx,
    sqlx::sqlite::{
        SqliteConnectOptions, SqliteError, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
    },
};

/// How long a caller waits for a connection before it is told that the database is out of reach.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Both ways into the database.
#[derive(Clone, Debug)]
pub struct Database {
    reader: DatabaseConnection,
    writer: DatabaseConnection,
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
                let mut options = ConnectOptions::new(url);
                options
                    .max_connections(pool_size)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .sqlx_logging(false);
                let pool = sea_orm::Database::connect(options).await?;
                Ok(Self { reader: pool.clone(), writer: pool })
            }
            url => {
                let file = if let Some(url) = url {
                    url.parse().map_err(connect_error)?
                } else {
                    SqliteConnectOptions::new().filename(data_dir.join("streamgate.db"))
                };
                Self::connect_sqlite(file, pool_size).await
            }
        }
    }

    async fn connect_sqlite(file: SqliteConnectOptions, pool_size: u32) -> Result<Self, DbErr> {
        let file = file
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What has been acknowledged survives a power cut, not only a crash of the program.
            .synchronous(SqliteSynchronous::Full)
            // Only another process (`migrate`, `user add`) can hold the lock against us.
            .busy_timeout(ACQUIRE_TIMEOUT);
        let pool = |size| {
            SqlitePoolOptions::new()
                .max_connections(size)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // There is no network that could have cut a connection to a file.
                .test_before_acquire(false)
        };
        create_private(file.get_filename())?;
        // The writer first: it creates the file and turns the log on, which readers cannot.
        let writer = pool(1).connect_with(file.clone()).await.map_err(connect_error)?;
        let reader = pool(pool_size).connect_with(file.read_only(true)).await;
        Ok(Self {
            reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader.map_err(connect_error)?),
            writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
        })
    }

    /// Brings the schema up to date, all of it or nothing. Programs that start together wait for one
    /// another.
    pub async fn migrate(&self) -> Result<(), DbErr> {
        let tx = self.begin_migration().await?;
        Migrator::up(&tx, None).await?;
        tx.commit().await
    }

    /// Whether the schema is the one that this program was made for.
    pub async fn is_current(&self) -> Result<bool, DbErr> {
        Ok(Migrator::get_pending_migrations(&self.writer).await?.is_empty())
    }

    /// Takes back the newest `steps` migrations.
    pub async fn migrate_down(&self, steps: u32) -> Result<(), DbErr> {
        let tx = self.begin_migration().await?;
        Migrator::down(&tx, Some(steps)).await?;
        tx.commit().await
    }

    async fn begin_migration(&self) -> Result<DatabaseTransaction, DbErr> {
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
    pub fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Begins a transaction that sees the database as of one moment, however many queries it makes.
    pub async fn begin_read(&self) -> Result<DatabaseTransaction, DbErr> {
        let mut options = TransactionOptions::default();
        if self.reader.get_database_backend() == DatabaseBackend::Postgres {
            options.isolation_level = Some(IsolationLevel::RepeatableRead);
            options.access_mode = Some(AccessMode::ReadOnly);
        }
        begin(self.reader.clone(), options).await
    }

    /// Begins a transaction that writes. On SQLite it takes the write lock at once: taking it
    /// later, after a read, fails when another process wrote in between.
    pub async fn begin_write(&self) -> Result<DatabaseTransaction, DbErr> {
        let mut options = TransactionOptions::default();
        if self.writer.get_database_backend() == DatabaseBackend::Sqlite {
            options.sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
        }
        begin(self.writer.clone(), options).await
    }

    /// One round trip.
    pub async fn ping(&self) -> Result<(), DbErr> {
        self.reader.ping().await
    }

    /// Waits until every connection is back and closed, so that SQLite folds its log into the file.
    pub async fn close(self) -> Result<(), DbErr> {
        self.reader.close().await?;
        self.writer.close().await
    }
}

/// Whether the database has refused what it was to write: the same without the fault can succeed, and
/// nothing of it has been written. Otherwise it could not write at all, or nobody knows whether it has.
#[must_use]
pub fn is_refusal(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return false;
    };
    let Some(error) = error.as_database_error() else { return false };
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<SqliteError>().is_some() {
        // TOOBIG, CONSTRAINT and MISMATCH; the low byte of an extended code is the plain one.
        return code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 18..=20));
    }
    // Data exception, integrity constraint violation, program limit exceeded.
    ["22", "23", "54"].iter().any(|class| code.starts_with(class))
}

/// Makes the file for its owner only; SQLite gives the same mode to the files beside it.
fn create_private(file: &Path) -> Result<(), DbErr> {
    // Not in memory, and not a file of another kind that only SQLite can read the name of.
    if file.to_string_lossy().starts_with(':') || file.to_string_lossy().starts_with("file:") {
        return Ok(());
    }
    let made = OpenOptions::new().create(true).append(true).mode(0o600).open(file);
    made.map(drop)
        .map_err(|error| DbErr::Conn(RuntimeErr::Internal(format!("{}: {error}", file.display()))))
}

/// Begins in a task of its own. A caller that goes away while `BEGIN` is on its way would leave a
/// connection in the pool that is in a transaction and does not know it, and what others write
/// there afterwards would be lost. The task sees `BEGIN` through and then drops the transaction,
/// which rolls it back.
async fn begin(
    pool: DatabaseConnection,
    options: TransactionOptions,
) -> Result<DatabaseTransaction, DbErr> {
    let begun = tokio::spawn(async move { pool.begin_with_options(options).await });
    begun.await.map_err(|error| DbErr::Custom(format!("BEGIN was cut off: {error}")))?
}

/// An error of `sqlx` before there is a connection of `SeaORM`.
fn connect_error(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}
