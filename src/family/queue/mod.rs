//! Work that workers claim under a lease: code that all families with a work queue share.

mod claim;
mod lease;
mod stored_lease;

pub use claim::claim_or_wait;
pub use lease::{
    DEFAULT_LEASE_SECONDS, ExpiringLease, LEASES_PER_QUERY, end_expired, expired_within,
};
pub use stored_lease::StoredLease;
