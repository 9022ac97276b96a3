//! Tasks: users create them, workers execute them, and their owners watch them.
//!
//! A task waits in the work queue of its type until a worker claims it, which gives the worker a lease. The lease token
//! fences, as for mutations: only the newest claim may report. So two workers never both hold a task, and a
//! worker that resumes after its lease expired is refused. Reports are numbered, so that a report that is sent again
//! because its response was lost is applied once.
//!
//! The end of a lease ends whatever a worker leaves unfinished (`lease.rs`). A request to cancel shortens the
//! lease to the grace time, and nothing extends it then. So a forced end is the end of a lease too.

mod artifact;
mod cancel;
mod claim;
mod create;
mod events;
mod lease;
mod list;
mod orphans;
mod release;
mod renew;
mod report;
mod resource;
mod rows;
mod schema;
mod status;
mod worker_schema;

pub use cancel::cancel;
pub use claim::claim;
pub use create::create;
pub use list::{TaskFilter, get, list};
pub use release::release;
pub use renew::renew;
pub use report::report;
pub use resource::TaskFamily;
pub use rows::topic;
pub use schema::{NewTask, Task, TaskStatus};
pub use worker_schema::{ClaimTasks, ClaimedTask, RenewedTaskLease, TaskLease, TaskReport};
