//! Runs transactions and single statements. Both check every error, to decide whether the connection can be used again.
//!
//! A database may end a transaction itself. SQLite does so after `SQLITE_FULL` and `SQLITE_IOERR`. PostgreSQL refuses
//! every statement after a failed one, and answers `COMMIT` with a rollback. So a [`Transaction`] with a failed
//! statement accepts no other statement and cannot be committed.
//!
//! The driver counts transactions, and does not notice that the database has ended one. With a wrong count, the driver
//! would treat every later transaction as nested, and never commit it. So the pool closes a connection that is still in
//! a transaction. After most faults it also closes every connection that was open.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr,
    ExecResult, IsolationLevel, QueryResult, SqliteTransactionMode, Statement, TransactionOptions,
    TransactionTrait, sqlx,
};

use super::{
    failure::{Failure, Fault},
    writes::Writes,
};

/// The state of the connections of one pool.
#[derive(Debug)]
pub(super) struct Connections {
    began: Instant,
    /// Connections that were opened before this time are not used again. In microseconds after `began`.
    discarded_before: AtomicU64,
    /// `None` for a pool that only reads.
    writes: Option<Arc<Writes>>,
}

impl Connections {
    pub(super) fn new(writes: Option<Arc<Writes>>) -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), discarded_before: AtomicU64::new(0), writes })
    }

    /// Whether the pool may use this connection. The pool calls this before each use.
    pub(super) fn admit<C: sqlx::Connection>(&self, connection: &C, age: Duration) -> bool {
        let in_transaction = connection.is_in_transaction();
        if in_transaction {
            tracing::warn!("closed a database connection because its transaction was never ended");
        }
        let opened = self.began.elapsed().saturating_sub(age);
        let discarded_before = Duration::from_micros(self.discarded_before.load(Ordering::Acquire));
        !in_transaction && opened >= discarded_before
    }

    /// Prevents the use of all connections that are open now.
    fn discard_open(&self) {
        // Rounded up, to include connections that were opened in this microsecond.
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX - 1) + 1;
        self.discarded_before.fetch_max(micros, Ordering::AcqRel);
    }

    /// Handles an error of a statement or of BEGIN.
    pub(super) fn handle_error(&self, error: &DbErr, backend: DatabaseBackend, is_write: bool) {
        let fault = match Failure::from_error(error) {
            Failure::Fault(fault) => fault,
            // A server that is down looks like a busy server, because the pool tries again until its timeout.
            Failure::Contended if matches!(error, DbErr::ConnectionAcquire(_)) => {
                if let Some(writes) = &self.writes {
                    writes.request_probe();
                }
                return;
            }
            _ => return,
        };
        // A lock of another process does not affect the connection. After a full disk, PostgreSQL only aborts the
        // transaction.
        let is_usable =
            fault == Fault::Locked || fault == Fault::Full && backend == DatabaseBackend::Postgres;
        if !is_usable {
            self.discard_open();
        }
        let Some(writes) = &self.writes else { return };
        writes.count(fault);
        if is_write && fault != Fault::Unreachable {
            writes.failed(fault);
        } else {
            writes.request_probe();
        }
    }

    /// Handles an error of COMMIT or ROLLBACK. After any error there, the state of the connection is unknown.
    fn handle_end_error(&self, error: &DbErr, backend: DatabaseBackend, is_write: bool) {
        self.discard_open();
        self.handle_error(error, backend, is_write);
    }

    fn succeeded(&self) {
        if let Some(writes) = &self.writes {
            writes.succeeded();
        }
    }
}

/// A transaction. A drop without a commit rolls it back.
#[derive(Debug)]
pub struct Transaction {
    inner: DatabaseTransaction,
    connections: Arc<Connections>,
    is_write: bool,
    /// Whether a statement failed.
    is_failed: AtomicBool,
    /// Whether a statement changed a row.
    has_written: AtomicBool,
}

impl Transaction {
    fn new(inner: DatabaseTransaction, connections: Arc<Connections>, is_write: bool) -> Self {
        let (is_failed, has_written) = Default::default();
        Self { inner, connections, is_write, is_failed, has_written }
    }

    /// The transaction of `SeaORM`. The migrations accept no other type.
    pub(super) fn inner(&self) -> &DatabaseTransaction {
        &self.inner
    }

    /// Commits the transaction. An error means that nothing was written, with one exception: if the connection is lost
    /// during the commit, the outcome is unknown.
    pub async fn commit(self) -> Result<(), DbErr> {
        self.check()?;
        let backend = self.inner.get_database_backend();
        let has_written = self.has_written.into_inner();
        let ended = self.inner.commit().await;
        match &ended {
            Ok(()) if has_written => self.connections.succeeded(),
            Ok(()) => {}
            Err(error) => self.connections.handle_end_error(error, backend, self.is_write),
        }
        ended
    }

    /// Rolls the transaction back.
    pub async fn rollback(self) -> Result<(), DbErr> {
        let backend = self.inner.get_database_backend();
        let ended = self.inner.rollback().await;
        ended.inspect_err(|error| self.connections.handle_end_error(error, backend, self.is_write))
    }

    fn check(&self) -> Result<(), DbErr> {
        if self.is_failed.load(Ordering::Acquire) {
            return Err(DbErr::Custom(
                "an earlier statement of this transaction has failed".to_owned(),
            ));
        }
        Ok(())
    }

    fn record_result<T>(
        &self,
        result: Result<T, DbErr>,
        wrote: impl FnOnce(&T) -> bool,
    ) -> Result<T, DbErr> {
        match &result {
            Ok(value) if wrote(value) => self.has_written.store(true, Ordering::Release),
            Ok(_) => {}
            Err(error) => {
                self.is_failed.store(true, Ordering::Release);
                self.connections.handle_error(
                    error,
                    self.inner.get_database_backend(),
                    self.is_write,
                );
            }
        }
        result
    }
}

#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DatabaseBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.check()?;
        self.record_result(self.inner.execute_raw(statement).await, |done| done.rows_affected() > 0)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.check()?;
        self.record_result(self.inner.execute_unprepared(sql).await, |done| {
            done.rows_affected() > 0
        })
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.check()?;
        let is_write = is_write(&statement);
        self.record_result(self.inner.query_one_raw(statement).await, |row| {
            is_write && row.is_some()
        })
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.check()?;
        let is_write = is_write(&statement);
        self.record_result(self.inner.query_all_raw(statement).await, |rows| {
            is_write && !rows.is_empty()
        })
    }
}

/// Whether a statement that returns rows also writes them (`INSERT ... RETURNING`).
fn is_write(statement: &Statement) -> bool {
    !statement.sql.starts_with("SELECT")
}

/// Runs single statements, each in its own transaction.
#[derive(Clone, Debug)]
pub struct Pool {
    inner: DatabaseConnection,
    connections: Arc<Connections>,
    is_write: bool,
}

impl Pool {
    pub(super) fn reader(inner: DatabaseConnection, connections: Arc<Connections>) -> Self {
        Self { inner, connections, is_write: false }
    }

    pub(super) fn writer(inner: DatabaseConnection, connections: Arc<Connections>) -> Self {
        Self { inner, connections, is_write: true }
    }

    pub(super) fn pool(&self) -> &DatabaseConnection {
        &self.inner
    }

    /// Prevents the use of all connections that are open now.
    pub(super) fn discard_open(&self) {
        self.connections.discard_open();
    }

    /// Begins a transaction: on a reader one that sees a single state of the database, on a writer one that writes. On
    /// SQLite, a writing transaction takes the write lock at once. If it took the lock after a read, it would fail when
    /// another process wrote in between.
    pub(super) async fn begin(&self) -> Result<Transaction, DbErr> {
        let mut options = TransactionOptions::default();
        match self.inner.get_database_backend() {
            DatabaseBackend::Sqlite if self.is_write => {
                options.sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
            }
            DatabaseBackend::Postgres if !self.is_write => {
                options.isolation_level = Some(IsolationLevel::RepeatableRead);
                options.access_mode = Some(AccessMode::ReadOnly);
            }
            _ => {}
        }
        // BEGIN runs in a task, because the caller may be dropped meanwhile. Without the task, the connection would
        // return to the pool in a transaction that the driver does not know of. The task waits for the end of BEGIN and
        // then drops the transaction, which rolls it back.
        let pool = self.inner.clone();
        let begun = tokio::spawn(async move { pool.begin_with_options(options).await });
        let begun = begun
            .await
            .map_err(|error| {
                DbErr::Custom(format!("the task that runs BEGIN did not finish: {error}"))
            })?
            .inspect_err(|error| self.note_error(error))?;
        Ok(Transaction::new(begun, Arc::clone(&self.connections), self.is_write))
    }

    fn note_error(&self, error: &DbErr) {
        self.connections.handle_error(error, self.inner.get_database_backend(), self.is_write);
    }

    /// Begins a transaction for a statement that writes and returns rows, if the database needs one. SQLite commits
    /// such a statement when it is reset. The driver resets it as soon as it has the row, and ignores the outcome. So
    /// without a transaction, a failed commit would look like a success.
    async fn wrap(&self) -> Result<Option<Transaction>, DbErr> {
        match self.inner.get_database_backend() {
            DatabaseBackend::Sqlite if self.is_write => self.begin().await.map(Some),
            _ => Ok(None),
        }
    }

    fn record_result<T>(
        &self,
        result: Result<T, DbErr>,
        wrote: impl FnOnce(&T) -> bool,
    ) -> Result<T, DbErr> {
        match &result {
            Ok(value) if wrote(value) => self.connections.succeeded(),
            Ok(_) => {}
            Err(error) => self.note_error(error),
        }
        result
    }
}

#[async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DatabaseBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.record_result(self.inner.execute_raw(statement).await, |done| done.rows_affected() > 0)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.record_result(self.inner.execute_unprepared(sql).await, |done| {
            done.rows_affected() > 0
        })
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        if let Some(tx) = self.wrap().await? {
            let row = tx.query_one_raw(statement).await?;
            tx.commit().await?;
            return Ok(row);
        }
        let is_write = is_write(&statement);
        self.record_result(self.inner.query_one_raw(statement).await, |row| {
            is_write && row.is_some()
        })
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        if let Some(tx) = self.wrap().await? {
            let rows = tx.query_all_raw(statement).await?;
            tx.commit().await?;
            return Ok(rows);
        }
        let is_write = is_write(&statement);
        self.record_result(self.inner.query_all_raw(statement).await, |rows| {
            is_write && !rows.is_empty()
        })
    }
}
