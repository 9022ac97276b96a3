//! Logs and metrics.
//!
//! Metrics belong to a [`Telemetry`] value, not to the process: tests run many gateways in one
//! process and each counts its own. The log, and the number of lines that it dropped, belong to the
//! process. Labels are few and known beforehand (family, reason, limit, operation), never an id, so
//! the number of series is bounded.

mod connections;
mod jobs;
mod labels;
mod logging;
mod metrics;
mod sink;

pub use logging::{LogFilter, Logging, LoggingError, init_logging};
pub use metrics::{CONTENT_TYPE, Telemetry};
