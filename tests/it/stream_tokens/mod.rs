//! `/v1/stream-tokens`.

mod create;
mod ended;
mod gateways;
pub mod resume;
pub mod single_use;
