//! Logs and metrics.
//!
//! Each gateway has its own [`Telemetry`] value, because tests run many gateways in one process. The process has one
//! log, and one counter of dropped log lines. The values of labels are from fixed lists (families, reasons, limits,
//! operations) and never ids, so the number of series is bounded.

mod connections;
mod jobs;
mod labels;
mod logging;
mod metrics;
mod sink;

pub use logging::{LogFilter, Logging, LoggingError, init_logging, panic_message};
pub use metrics::{CONTENT_TYPE, Telemetry};
