//! The audit log: security events in the database and in the log of the process.
//!
//! An event is written when it has happened. If the database accepts no writes, the event is in the log only. The request
//! continues, because a full disk must not lock every user out. No event has a secret in it.

mod audit_log;
mod kind;

pub use audit_log::{AuditEvent, AuditFilter, AuditLog, MAX_REFUSED_LOGINS};
pub use kind::AuditKind;
