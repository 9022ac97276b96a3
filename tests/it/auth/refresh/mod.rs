//! `POST /v1/auth/refresh`.

mod chain;
mod reuse;
mod rotation;
