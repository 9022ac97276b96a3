//! `/v1/tasks`.

mod artifacts;
mod cancel;
mod claim;
mod create;
mod get;
mod heartbeat;
mod lease;
mod report;
mod retention;
mod status;
mod stream;
