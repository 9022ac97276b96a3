//! Sends the request of every operation in the served document, and checks its refusals.
//!
//! A new operation needs no line here, unless one of the lists in `exceptions.rs` must say why a
//! case does not apply to it.

mod exceptions;
mod operation;
mod refusals;
mod walker;
