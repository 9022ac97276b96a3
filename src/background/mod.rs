//! The background jobs of a gateway.
//!
//! Each job has its own task, so a slow job does not delay another job. If a job fails or panics, the failure is logged
//! and counted. The job runs again at its next time.
//!
//! The writer of group commit is not in the list, because it is a part of publishing, see `src/hub/publish.rs`. It ends
//! with the hub.

mod job;
mod jobs;
mod scheduler;

pub use job::{Context, Job, Schedule};
pub use jobs::JOBS;
pub use scheduler::start;
