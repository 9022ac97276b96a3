//! The group commit of published events.

mod fencing;
mod group_commit;
mod queue;
