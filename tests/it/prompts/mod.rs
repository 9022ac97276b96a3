//! `/v1/sessions/{sid}/prompts` and `/v1/prompts/claim`.
//!
//! A folder at the top, because prompts are a family like the others: claims have a path of their
//! own, and the conversation (`/v1/sessions`) has no stream.

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
