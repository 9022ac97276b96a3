//! `GET /v1/streams`: several topics on one connection.

mod bounds;
mod cursors;
mod roles;
mod topics;
mod unusable_cursors;
