//! Artifacts, which workers report in chunks with `POST /v1/tasks/{id}/report`.

mod chunks;
mod rebuild;
mod sender;
