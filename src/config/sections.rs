//! The keys of the smaller sections. The manual prints the doc comments of the keys, so each gives the meaning first,
//! then the unit and the range, then the reason.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::validate;

/// `[database]`
#[derive(confique::Config, Clone, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct Database {
    /// Database to use: `postgres://user:password@host/name`, or `sqlite:path?mode=rwc`. The default is the
    /// SQLite file `streamgate.db` in `data_dir`.
    #[config(env = "STREAMGATE_DATABASE__URL", validate = validate::database_url)]
    pub url: Option<String>,

    /// Whether to migrate the schema at the start. Turn it off if `streamgate migrate` runs as a separate step.
    #[config(default = true, env = "STREAMGATE_DATABASE__MIGRATE")]
    pub migrate: bool,

    /// Connections in the pool, from 1 to 1000. On SQLite these are the readers, besides one writer.
    #[config(
        default = 8,
        env = "STREAMGATE_DATABASE__POOL_SIZE",
        validate((1..=1000).contains(pool_size), "must be from 1 to 1000 connections")
    )]
    pub pool_size: u32,
}

/// Hides the password of the URL, because a log may contain the `{:?}` text.
impl fmt::Debug for Database {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Database")
            .field("url", &self.url.as_deref().map(without_password))
            .field("migrate", &self.migrate)
            .field("pool_size", &self.pool_size)
            .finish()
    }
}

/// Scheme, host and database name of a URL, without user, password and parameters.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    if parameters.contains('@') {
        // Either the password contains a `?`, or a parameter contains an `@`. The text does not tell which.
        return format!("{scheme}:***");
    }
    match place.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}"),
        None => format!("{scheme}:{place}"),
    }
}

/// `[tokens]`
#[derive(confique::Config, Clone, Debug, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct Tokens {
    /// Issuer (`iss`) written into tokens and required of them. Give each deployment its own issuer, so
    /// that no other deployment accepts its tokens.
    #[config(
        default = "streamgate",
        env = "STREAMGATE_TOKENS__ISSUER",
        validate = validate::not_empty
    )]
    pub issuer: String,

    /// Audience (`aud`) written into access tokens and required of them.
    #[config(
        default = "streamgate",
        env = "STREAMGATE_TOKENS__AUDIENCE",
        validate = validate::not_empty
    )]
    pub audience: String,

    /// Lifetime of an access token in seconds, from 60 to 86400.
    #[config(
        default = 900,
        env = "STREAMGATE_TOKENS__ACCESS_SECONDS",
        validate((60..=86_400).contains(access_seconds), "must be from 60 to 86400 seconds")
    )]
    pub access_seconds: u64,

    /// Lifetime of a login session without a refresh in seconds, from 60 to 31536000 (a year). The
    /// default is a week.
    #[config(
        default = 604_800,
        env = "STREAMGATE_TOKENS__LOGIN_SESSION_SECONDS",
        validate((60..=31_536_000).contains(login_session_seconds), "must be from 60 to 31536000 seconds")
    )]
    pub login_session_seconds: u64,

    /// Time from a login to the end of its session in seconds, however often it is refreshed, from 60 to
    /// 31536000 (a year). The default is 30 days.
    #[config(
        default = 2_592_000,
        env = "STREAMGATE_TOKENS__SESSION_MAX_SECONDS",
        validate((60..=31_536_000).contains(session_max_seconds), "must be from 60 to 31536000 seconds")
    )]
    pub session_max_seconds: u64,

    /// Default lifetime of a stream token in seconds, from 30 to 300. A request can ask for another
    /// lifetime. It is short, because the token is part of a URL and URLs are logged.
    #[config(
        default = 120,
        env = "STREAMGATE_TOKENS__STREAM_SECONDS",
        validate((30..=300).contains(stream_seconds), "must be from 30 to 300 seconds")
    )]
    pub stream_seconds: u64,

    /// Time after the end of a connection in seconds in which an expired stream token can resume its stream, from
    /// 120 to 3600, or 0. With 0, no expired token resumes a stream. It is at least twice the longest heartbeat,
    /// because a gateway notes with every heartbeat that the stream is open.
    #[config(
        default = 300,
        env = "STREAMGATE_TOKENS__RESUME_SECONDS",
        validate(
            *resume_seconds == 0 || (120..=3600).contains(resume_seconds),
            "must be 0, or from 120 to 3600 seconds"
        )
    )]
    pub resume_seconds: u64,
}

/// `[tasks]`
#[derive(confique::Config, Clone, Debug, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct Tasks {
    /// Grace time in seconds in which a worker can end a task after a request to cancel, from 1 to 3600. Then
    /// the gateway cancels the task, and refuses later reports of the worker.
    #[config(
        default = 30,
        env = "STREAMGATE_TASKS__CANCEL_GRACE_SECONDS",
        validate(
            (1..=3600).contains(cancel_grace_seconds),
            "must be from 1 to 3600 seconds"
        )
    )]
    pub cancel_grace_seconds: u64,
}

/// `[streams]`
#[derive(confique::Config, Clone, Debug, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct Streams {
    /// Seconds between heartbeats of an idle stream, from 1 to 60. A heartbeat keeps proxies from closing the
    /// stream, and re-checks the session and the event log. Cached login sessions and resources are looked up
    /// again after this time too. With several gateways on one PostgreSQL, events and waiting work of another
    /// gateway are found with the next heartbeat.
    #[config(
        default = 15,
        env = "STREAMGATE_STREAMS__HEARTBEAT_SECONDS",
        validate((1..=60).contains(heartbeat_seconds), "must be from 1 to 60 seconds")
    )]
    pub heartbeat_seconds: u64,

    /// Seconds before the end of a login session, an API key or an external token at which its streams send
    /// `stream.expiring`, up to 3600. A client that refreshes in time keeps its streams. With 0, they do not send it.
    #[config(
        default = 60,
        env = "STREAMGATE_STREAMS__EXPIRING_SECONDS",
        validate(*expiring_seconds <= 3600, "must be at most 3600 seconds")
    )]
    pub expiring_seconds: u64,

    /// Events kept in memory per live topic, from 1 to 1000000. A subscriber further behind reads
    /// from the event log instead, which is slower and loses nothing.
    #[config(
        default = 1000,
        env = "STREAMGATE_STREAMS__BUFFER_EVENTS",
        validate((1..=1_000_000).contains(buffer_events), "must be from 1 to 1000000 events")
    )]
    pub buffer_events: usize,

    /// Seconds that clients wait before they reconnect, from 1 to 300. The gateway adds up to half of it plus
    /// one second at random, so that clients do not all reconnect at once.
    #[config(
        default = 3,
        env = "STREAMGATE_STREAMS__RETRY_SECONDS",
        validate((1..=300).contains(retry_seconds), "must be from 1 to 300 seconds")
    )]
    pub retry_seconds: u64,

    /// Threads that write to the sockets of open streams, up to 1024. 0 starts one for each core.
    #[config(
        default = 0,
        env = "STREAMGATE_STREAMS__REACTOR_THREADS",
        validate(*reactor_threads <= 1024, "must be at most 1024 threads")
    )]
    pub reactor_threads: usize,

    /// Use io_uring to write to stream sockets (Linux 5.6 or newer, where it is allowed). Saves CPU from about
    /// ten subscribers per topic. Falls back to `send` with a warning.
    #[config(default = false, env = "STREAMGATE_STREAMS__IO_URING")]
    pub io_uring: bool,
}

/// `[log]`
#[derive(confique::Config, Clone, Debug, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct Log {
    /// Format of a log line: `text` for people, `json` (one object per line) for collectors.
    #[config(default = "text", env = "STREAMGATE_LOG__FORMAT")]
    pub format: LogFormat,

    /// Log level (`error`, `warn`, `info`, `debug`, `trace`), or directives separated by commas such as
    /// `info,streamgate::hub=debug`. Read again on SIGHUP.
    #[config(default = "info", env = "STREAMGATE_LOG__FILTER", validate = validate::log_filter)]
    pub filter: String,
}

/// Format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a person at a terminal.
    Text,
    /// One JSON object per line, for a collector.
    Json,
}
