//! The log of the process, on standard error.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::IsTerminal as _,
    panic,
};

use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, filter::ParseError, fmt, layer::SubscriberExt as _, reload,
    util::SubscriberInitExt as _,
};

use super::sink::Sink;

/// Logging cannot start, or its filter cannot change.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter does not parse.
    #[error("the log filter is not valid: {0}")]
    Filter(#[from] ParseError),
    /// The operating system gives no thread.
    #[error("cannot start the thread that writes the log")]
    Thread(#[from] std::io::Error),
    /// A process logs to one place, chosen once.
    #[error("logging has already been started: {0}")]
    Started(Box<dyn std::error::Error + Send + Sync>),
    /// The filter cannot be replaced.
    #[error("cannot change the log filter: {0}")]
    Change(#[from] reload::Error),
}

/// The running log. Dropping it, at the end of the process, waits until all lines are written, for at
/// most a second.
#[derive(Debug)]
#[must_use = "dropping it writes the last lines"]
pub struct Logging {
    sink: Sink,
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Starts logging to standard error for the whole process: as text to read, or with `json` as one
/// object per line. `filter` holds `EnvFilter` directives such as `info,streamgate::hub=debug`.
///
/// Logging never waits and never fails. Lines that cannot be written are dropped and counted in
/// `log_lines_dropped_total`; their number is logged when writing works again. Panics are logged too,
/// not printed.
pub fn init_logging(json: bool, filter: &str) -> Result<Logging, LoggingError> {
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(filter)?);
    let sink = Sink::start(std::io::stderr())?;
    let lines = fmt::layer()
        .with_writer(sink.clone())
        .with_ansi(std::io::stderr().is_terminal())
        // They are printed with `eprintln!`, which panics if standard error is closed.
        .log_internal_errors(false);
    let lines = if json { lines.json().flatten_event(true).boxed() } else { lines.boxed() };
    let started = tracing_subscriber::registry().with(filter).with(lines).try_init();
    started.map_err(|error| LoggingError::Started(Box::new(error)))?;
    panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("a value that is no text");
        let at = panic.location().map(tracing::field::display);
        // Captured if RUST_BACKTRACE asks for it.
        let backtrace = Backtrace::capture();
        let is_captured = backtrace.status() == BacktraceStatus::Captured;
        let backtrace = is_captured.then(|| tracing::field::display(&backtrace));
        tracing::error!(at, backtrace, "panic: {message}");
    }));
    Ok(Logging { sink, filter: handle })
}

impl Logging {
    /// The filter, to be replaced while the log goes on.
    #[must_use]
    pub fn filter(&self) -> LogFilter {
        LogFilter(self.filter.clone())
    }
}

/// The filter of the log. Does not keep the log alive.
#[derive(Clone, Debug)]
pub struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// Replaces the filter; the directives are those of [`init_logging`].
    pub fn set(&self, filter: &str) -> Result<(), LoggingError> {
        Ok(self.0.reload(EnvFilter::try_new(filter)?)?)
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.sink.flush();
    }
}
