//! The database: transactions of lost callers, and migrations.

mod lost_caller;
mod migrations;
