//! Classifies database errors, for retries, problems and readiness.
//!
//! The codes are listed in <https://sqlite.org/rescode.html> and in PostgreSQL's appendix A, "PostgreSQL Error Codes".

use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, sqlx, sqlx::sqlite::SqliteError};

/// The class of a database error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The database refused the values because of a constraint or their size. Nothing was written. The same values
    /// would fail again.
    Refused,
    /// Another transaction, or too many callers, prevented the statement. A retry can succeed.
    Contended,
    /// The database does not work, for the reason in the [`Fault`].
    Fault(Fault),
    /// The gateway closes its connections.
    Closed,
    /// Any other error, such as a syntax error in a statement. The cause is a bug in this program.
    Bug,
}

/// The reason why the database does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk or the quota of the database is full.
    Full,
    /// The database accepts only reads, for example a PostgreSQL replica after a failover.
    ReadOnly,
    /// Another process holds the write lock.
    Locked,
    /// Reading or writing a file failed.
    Io,
    /// The database file is damaged.
    Corrupt,
    /// The database does not answer.
    Unreachable,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 6] =
        [Self::Full, Self::ReadOnly, Self::Locked, Self::Io, Self::Corrupt, Self::Unreachable];

    /// The name in metrics and in the readiness document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "disk_full",
            Self::ReadOnly => "read_only",
            Self::Locked => "locked",
            Self::Io => "io_error",
            Self::Corrupt => "corrupt",
            Self::Unreachable => "unreachable",
        }
    }

    /// The fault of a SQLite result code. The low byte of an extended code is the primary code.
    fn from_sqlite(code: u32) -> Option<Self> {
        match code & 0xff {
            // BUSY, LOCKED, PROTOCOL
            5 | 6 | 15 => Some(Self::Locked),
            8 => Some(Self::ReadOnly),
            // NOMEM, IOERR, CANTOPEN
            7 | 10 | 14 => Some(Self::Io),
            // CORRUPT, NOTADB
            11 | 26 => Some(Self::Corrupt),
            13 => Some(Self::Full),
            _ => None,
        }
    }

    /// The fault of a PostgreSQL SQLSTATE.
    fn from_postgres(code: &str) -> Option<Self> {
        match code {
            "53100" => Some(Self::Full),
            "25006" => Some(Self::ReadOnly),
            "58030" => Some(Self::Io),
            "XX001" | "XX002" => Some(Self::Corrupt),
            // Connection exceptions, a shutdown, and refused logins (pg_hba.conf may have changed).
            _ if ["08", "57P", "28"].iter().any(|class| code.starts_with(class)) => {
                Some(Self::Unreachable)
            }
            _ => None,
        }
    }
}

impl Failure {
    /// The class of an error.
    #[must_use]
    pub fn from_error(error: &DbErr) -> Self {
        match error {
            DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => Self::Contended,
            DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => Self::Closed,
            DbErr::Conn(RuntimeErr::SqlxError(error))
            | DbErr::Exec(RuntimeErr::SqlxError(error))
            | DbErr::Query(RuntimeErr::SqlxError(error)) => Self::from_sqlx(error),
            DbErr::Conn(_) => Self::Fault(Fault::Unreachable),
            _ => Self::Bug,
        }
    }

    /// The fault, if the failure is one.
    #[must_use]
    pub fn fault(self) -> Option<Fault> {
        if let Self::Fault(fault) = self { Some(fault) } else { None }
    }

    fn from_sqlx(error: &sqlx::Error) -> Self {
        let error = match error {
            sqlx::Error::Database(error) => error,
            sqlx::Error::PoolTimedOut => return Self::Contended,
            sqlx::Error::PoolClosed => return Self::Closed,
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => return Self::Fault(Fault::Unreachable),
            _ => return Self::Bug,
        };
        let code = error.code().unwrap_or_default();
        if error.try_downcast_ref::<SqliteError>().is_some() {
            let code = code.parse().unwrap_or_default();
            // TOOBIG, CONSTRAINT and MISMATCH
            return match Fault::from_sqlite(code) {
                Some(fault) => Self::Fault(fault),
                None if matches!(code & 0xff, 18..=20) => Self::Refused,
                None => Self::Bug,
            };
        }
        if let Some(fault) = Fault::from_postgres(&code) {
            return Self::Fault(fault);
        }
        let is_of = |classes: &[&str]| classes.iter().any(|class| code.starts_with(class));
        if is_of(&["22", "23", "54"]) {
            // Data exception, integrity constraint violation, program limit exceeded.
            Self::Refused
        } else if is_of(&["25P03", "25P04", "40", "53", "55P03", "57014"]) {
            // Transaction timeouts, serialization failure, deadlock, too many connections, lock
            // timeout, cancelled.
            Self::Contended
        } else {
            Self::Bug
        }
    }
}
