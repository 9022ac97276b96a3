//! The lease that is stored in a row.

use std::time::Duration;

use entity::Timestamp;
use uuid::Uuid;

use crate::{
    clock::{Deadline, Reading},
    family::error::LeaseLost,
};

/// The lease in the columns `lease_token`, `lease_expires_at` and `lease_clock` of a row.
#[derive(Clone, Copy, Debug)]
pub struct StoredLease {
    token: Option<Uuid>,
    end: Option<Deadline>,
}

impl StoredLease {
    /// Creates the lease from the values of these columns.
    #[must_use]
    pub fn new(token: Option<Uuid>, expires_at: Option<Timestamp>, clock: Option<Uuid>) -> Self {
        Self { token, end: expires_at.map(|at| Deadline { at, clock }) }
    }

    /// Checks a lease token. Does not check whether the lease has expired.
    ///
    /// # Errors
    /// [`LeaseLost::Superseded`] if `token` is not the token of the newest lease.
    pub fn check_token(&self, token: Uuid) -> Result<(), LeaseLost> {
        if self.token == Some(token) { Ok(()) } else { Err(LeaseLost::Superseded) }
    }

    /// Checks that the lease has not expired.
    ///
    /// # Errors
    /// [`LeaseLost::Expired`] if the lease has expired, or if the row is under no lease.
    pub fn check_time(&self, now: &Reading) -> Result<(), LeaseLost> {
        match self.time_left(now) {
            Some(left) if !left.is_zero() => Ok(()),
            _ => Err(LeaseLost::Expired),
        }
    }

    /// Time until the lease expires. Zero if it has expired. `None` if the row is under no lease.
    #[must_use]
    pub fn time_left(&self, now: &Reading) -> Option<Duration> {
        self.end.map(|end| now.time_until(end))
    }

    /// Whether the row is under a lease that has expired.
    #[must_use]
    pub fn has_expired(&self, now: &Reading) -> bool {
        self.time_left(now).is_some_and(|left| left.is_zero())
    }
}
