//! Mutations: changes of a topology. Operators enqueue mutations. Workers claim, apply and report them.
//!
//! A claim gives the worker a lease. After the lease expires, the mutation is pending again. The lease has a fencing
//! token (see Kleppmann, "How to do distributed locking"): only the newest claim may report. So two workers never hold
//! the same mutation, and a worker that resumes after its lease expired is refused.

mod claim;
mod create;
mod expire;
mod list;
mod report;
mod rows;
mod schema;

pub use claim::claim;
pub use create::create;
pub(super) use expire::end_expired;
pub use list::list;
pub use report::report;
pub(super) use rows::{fail_unfinished, list_unfinished};
pub use schema::{
    ClaimMutations, ClaimedMutation, Mutation, MutationReport, MutationState, NewMutation,
};
