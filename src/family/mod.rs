//! The families: every type of resource that can be watched, without HTTP.
//!
//! The folder of a family contains its state machine, rows, events, snapshot and work queue. Its `schema.rs` contains
//! the wire types. Snapshots, events and REST responses share these types. Code that works for every family uses the
//! trait [`ResourceFamily`]. The operations of a family return a [`FamilyError`], which does not depend on HTTP.

mod access;
mod change;
pub mod conversation;
mod error;
mod event_kind;
mod existing_users;
pub mod mcp_session;
pub mod notification;
pub mod oauth;
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
pub mod tunnel;
mod visible;
pub mod wire;

pub use access::SubscriptionAccess;
pub use change::{commit, new_event};
pub use error::{FamilyError, LeaseLost, Result};
pub use event_kind::{EventKind, schema};
pub use existing_users::existing_users;
pub use resource_family::{ORPHANS_PER_TRANSACTION, ResourceFamily};
pub use silent::{SilentTopics, is_silent};
pub use snapshot::{ResourceState, count_with_size};
pub use source::source;
pub use sweep::{cancel_orphans, end_expired_leases, sweep};
pub use table::resource_family;
pub use visible::{check_family, find_visible, stream_open_error};
