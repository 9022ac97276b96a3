//! Logs and metrics.
//!
//! Each gateway has its own [`Telemetry`] value, because tests run many gateways in one process. The process has one
//! log, and one counter of dropped log lines. The values of labels are from fixed lists (families, reasons, limits,
//! operations) and never ids, so the number of series is bounded.

mod build_info;
mod caller_ids;
mod connections;
mod exposition;
mod jobs;
mod known_labels;
mod labels;
mod latency;
mod logging;
mod metrics;
mod percentiles;
mod process;
mod sink;

pub use caller_ids::CallerIds;
pub use exposition::MetricsFormat;
pub use known_labels::KnownLabels;
pub use logging::{LogFilter, Logging, LoggingError, init_logging, json_lines, panic_message};
pub use metrics::Telemetry;
pub use percentiles::{Latencies, Summary};
