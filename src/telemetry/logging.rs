//! The log of the process, on standard error.

use std::{
    any::Any,
    backtrace::{Backtrace, BacktraceStatus},
    io::IsTerminal as _,
    panic,
};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::ParseError,
    fmt::{self, MakeWriter, time::SystemTime},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt as _,
};

use super::sink::Sink;

/// The reason why logging cannot start, or why its filter cannot change.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter cannot be parsed.
    #[error("the log filter is not valid: {0}")]
    Filter(#[from] ParseError),
    /// The operating system refuses to start a thread.
    #[error("cannot start the thread that writes the log")]
    Thread(#[from] std::io::Error),
    /// The process has another log already. Each process has only one.
    #[error("logging has already been started: {0}")]
    Started(Box<dyn std::error::Error + Send + Sync>),
    /// The filter cannot be replaced, for example because the log has ended.
    #[error("cannot change the log filter: {0}")]
    Change(#[from] reload::Error),
}

/// The running log. Drop it at the end of the process: the drop waits until all lines are written, for at most one
/// second.
#[derive(Debug)]
#[must_use = "a drop waits until the last lines are written"]
pub struct Logging {
    sink: Sink,
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Starts the log of the whole process on standard error. Writes text, or one JSON object per line with `json`.
/// `filter` holds `EnvFilter` directives such as `info,streamgate::hub=debug`.
///
/// Logging never waits and never fails. A line that cannot be written is dropped and counted in
/// `log_lines_dropped_total`. When writing works again, the number of dropped lines is logged. Panics are logged, not
/// printed.
pub fn init_logging(json: bool, filter: &str) -> Result<Logging, LoggingError> {
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(filter)?);
    let sink = Sink::start(std::io::stderr())?;
    let lines = if json {
        json_lines(sink.clone()).boxed()
    } else {
        fmt::layer()
            .with_writer(sink.clone())
            .with_ansi(std::io::stderr().is_terminal())
            // Internal errors are printed with `eprintln!`, which panics if standard error is closed.
            .log_internal_errors(false)
            .boxed()
    };
    let started = tracing_subscriber::registry().with(filter).with(lines).try_init();
    started.map_err(|error| LoggingError::Started(Box::new(error)))?;
    panic::set_hook(Box::new(|panic| {
        let message = panic_message(panic.payload());
        let at = panic.location().map(tracing::field::display);
        // Captures a backtrace only if RUST_BACKTRACE or RUST_LIB_BACKTRACE is set.
        let backtrace = Backtrace::capture();
        let is_captured = backtrace.status() == BacktraceStatus::Captured;
        let backtrace = is_captured.then(|| tracing::field::display(&backtrace));
        tracing::error!(at, backtrace, "panic: {message}");
    }));
    Ok(Logging { sink, filter: handle })
}

/// Writes one JSON object per line. The fields of an event and of its request are members of the object.
pub fn json_lines<S, W>(writer: W) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let mut lines = json_subscriber::JsonLayer::new(writer);
    lines.with_timer("timestamp", SystemTime);
    lines.with_level("level");
    lines.with_target("target");
    lines.with_flattened_event();
    lines.with_top_level_flattened_span_list();
    lines
}

impl Logging {
    /// A handle that replaces the filter of the running log.
    #[must_use]
    pub fn filter(&self) -> LogFilter {
        LogFilter(self.filter.clone())
    }
}

/// Replaces the filter of the log. This value does not keep the log alive.
#[derive(Clone, Debug)]
pub struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// Replaces the filter. For the directives, see [`init_logging`].
    pub fn set(&self, filter: &str) -> Result<(), LoggingError> {
        Ok(self.0.reload(EnvFilter::try_new(filter)?)?)
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.sink.flush();
    }
}

/// The message of a panic. If it has none, a text that says so.
#[must_use]
pub fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("the panic has no message")
}
