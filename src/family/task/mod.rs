//! Tasks: users create them, workers execute them, and their owners watch them.
//!
//! A task waits in the work queue until a worker with the right skill claims it. The claim gives the worker a lease
//! with a fencing token, as for mutations: only the newest claim may report. So two workers never hold the same task,
//! and a worker that resumes after its lease expired is refused. Reports are numbered. If a response is lost and the
//! worker sends the report again, the report is applied only once.
//!
//! If a worker does not finish a task, the end of the lease ends the attempt (`lease.rs`). A request to cancel shortens
//! the lease to the grace time. Renewals cannot extend the lease beyond the grace time. So the end of a lease also ends
//! a task whose worker ignores the request.

mod artifact;
mod cancel;
mod claim;
mod create;
mod events;
pub(super) mod lease;
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
