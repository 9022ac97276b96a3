//! The event log: pages, cursors, pruning, and a database that is replaced by an older copy.

mod cursors;
mod read;
mod replaced;
mod rewind;
