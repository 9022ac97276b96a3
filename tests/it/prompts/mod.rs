//! `/v1/sessions/{sid}/prompts` and `/v1/prompts/claim`.
//!
//! The folder is at the top, because prompts are a family like the others. Claims have their own
//! path, and the conversation (`/v1/sessions`) has no stream.

mod cancel;
mod claim;
mod create;
mod get;
mod idle;
mod lease;
mod publish;
mod races;
mod retention;
mod status;
mod stream;
mod stream_token;
