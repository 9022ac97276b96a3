//! Sends the request of every operation in the served document, and checks its refusals.
//!
//! A new operation needs no line here, unless a case does not apply to it. Then a list in
//! `exceptions.rs` gives the reason.

mod exceptions;
mod operation;
mod possible;
mod public;
mod refusals;
mod resources;
mod walker;
