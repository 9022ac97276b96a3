//! Finds leases that expire, and ends them.

use std::time::Duration;

use entity::Timestamp;
use sea_orm::{ColumnTrait, Condition, DbErr};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    clock::{Deadline, Reading},
    event::Family,
    family::error::{FamilyError, Result},
    gateway::Gateway,
};

/// Time until the next attempt after an error.
const RETRY: Duration = Duration::from_secs(1);

/// Duration of a lease in seconds, if the worker does not ask for another one.
pub const DEFAULT_LEASE_SECONDS: u32 = 60;

/// Maximum number of leases that one query returns. After some of them have ended, another query follows.
pub const LEASES_PER_QUERY: u64 = 500;

/// The condition for leases that expire within `time` from now. The columns are `lease_expires_at` and `lease_clock` of
/// the table.
pub fn expired_within<C: ColumnTrait>(
    now: &Reading,
    time: Duration,
    (expires_at, clock): (C, C),
) -> Condition {
    let (at, others) = now.expiry_bounds(time);
    let over = Condition::all().add(expires_at.lte(at));
    if others.is_empty() {
        return over;
    }
    // The common bound `latest` lets the database search an index. With only the alternatives, the database would read
    // all rows.
    let latest = others.iter().map(|(_, at)| *at).fold(at, Ord::max);
    let ids = others.iter().map(|(id, _)| *id);
    let rest = Condition::any().add(clock.is_null()).add(clock.is_not_in(ids));
    let any = others.iter().fold(Condition::any().add(over.add(rest)), |any, (id, at)| {
        any.add(Condition::all().add(clock.eq(*id)).add(expires_at.lte(*at)))
    });
    Condition::all().add(expires_at.lte(latest)).add(any)
}

/// The id for `end` in [`end_expired`], and `lease_expires_at` and `lease_clock` of the lease.
pub type ExpiringLease = (Uuid, Timestamp, Option<Uuid>);

/// Ends the expired leases of a family, and sets the deadline for leases that expire before the next heartbeat. `find`
/// returns at most [`LEASES_PER_QUERY`] leases that expire within a time. `end` ends the leases with an id.
///
/// # Errors
/// The error of `find`, or the first error of `end`. After an error of `end`, the other leases are still ended. After
/// any error, the next attempt is due within 1 second.
pub async fn end_expired<F, E>(
    gateway: &Gateway,
    family: Family,
    find: impl Fn(Reading, Duration) -> F,
    end: impl Fn(Uuid) -> E,
) -> Result<()>
where
    F: Future<Output = std::result::Result<Vec<ExpiringLease>, DbErr>>,
    E: Future<Output = Result<()>>,
{
    let failed = |error: &FamilyError, id: Option<Uuid>| {
        let id = id.map(tracing::field::display);
        tracing::warn!(family = family.name(), id, %error, "cannot end expired leases; trying again in 1 s");
        gateway.work_queue(family).next_lease_end.set(Instant::now() + RETRY);
    };
    let heartbeat = Duration::from_secs(gateway.config.streams.heartbeat_seconds);
    let mut result = Ok(());
    // The first query finds only leases that have expired. Times of different clock settings cannot be sorted. So
    // leases that are still valid could fill the result of a longer time.
    for time in [Duration::ZERO, heartbeat] {
        let ends = match find(gateway.clock.read(), time).await {
            Ok(ends) => ends,
            Err(error) => {
                let error = error.into();
                failed(&error, None);
                return Err(error);
            }
        };
        let mut some_ended = false;
        for (id, at, clock) in ends {
            let left = gateway.clock.read().time_until(Deadline { at, clock });
            if !left.is_zero() {
                gateway.work_queue(family).next_lease_end.set(Instant::now() + left);
                continue;
            }
            match end(id).await {
                Ok(()) => some_ended = true,
                Err(error) => {
                    failed(&error, Some(id));
                    result = result.and(Err(error));
                }
            }
        }
        if some_ended {
            gateway.notify_workers(family);
            // Run again at once: the query may have omitted expired leases, and the second query was not run.
            gateway.work_queue(family).next_lease_end.set(Instant::now());
            return result;
        }
    }
    result
}
