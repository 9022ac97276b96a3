//! The families: every type of resource that can be watched, without HTTP.
//!
//! A family has a folder: state machine, rows, events, snapshot, lease queue. Its `schema.rs` has the
//! types that go over the wire, so a snapshot, an event and a REST answer are one type. Code that
//! works for every family uses the trait [`ResourceFamily`].
//! A family refuses with a [`FamilyError`], which knows no HTTP status.

mod access;
mod change;
pub mod conversation;
mod error;
mod event_kind;
pub mod mcp_session;
pub mod notification;
pub mod prompt;
pub mod queue;
mod resource_family;
mod silent;
mod snapshot;
mod source;
mod sweep;
mod table;
pub mod task;
pub mod topology;
mod visible;
pub mod wire;

pub use access::SubscriptionAccess;
pub use change::{commit, new_event};
pub use error::{FamilyError, LeaseLost, Result};
pub use event_kind::{EventKind, schema};
pub use resource_family::{ORPHANS_PER_TRANSACTION, ResourceFamily};
pub use silent::{SilentTopics, is_silent};
pub use snapshot::ResourceState;
pub use source::source;
pub use sweep::{cancel_orphans, end_expired_leases, existing_users, sweep};
pub use table::resource_family;
pub use visible::{find_visible, open_error};
