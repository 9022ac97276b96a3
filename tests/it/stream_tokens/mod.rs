//! `/v1/stream-tokens`.

mod create;
