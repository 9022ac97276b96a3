//! The audit log: security events in the database and in the log of the process.
//!
//! An event is written when it has happened. If the database accepts no writes, the event is in the log only. The request
//! continues, because a full disk must not lock every user out. No event has a secret in it. Calls of tools are written
//! in the background, so that no call waits for the database.

mod audit_log;
mod kind;

pub use audit_log::{AuditEvent, AuditFilter, AuditLog, MOST_KEPT};
pub use kind::AuditKind;
