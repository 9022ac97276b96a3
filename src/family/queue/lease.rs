//! Leases that expire.

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

/// Time until the next try after the database failed.
const RETRY: Duration = Duration::from_secs(1);

/// Leases that one query looks for. A further query follows after some of them have ended.
pub const LEASES_PER_QUERY: u64 = 500;

/// The condition that finds leases that expire within `time` from now, in a table whose columns for
/// `lease_expires_at` and `lease_clock` are these.
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
    // With a bound that holds for all of them, the database searches an index. With the alternatives
    // alone it would read all rows.
    let latest = others.iter().map(|(_, at)| *at).fold(at, Ord::max);
    let ids = others.iter().map(|(id, _)| *id);
    let rest = Condition::any().add(clock.is_null()).add(clock.is_not_in(ids));
    let any = others.iter().fold(Condition::any().add(over.add(rest)), |any, (id, at)| {
        any.add(Condition::all().add(clock.eq(*id)).add(expires_at.lte(*at)))
    });
    Condition::all().add(expires_at.lte(latest)).add(any)
}

/// The id of what is under a lease, its `lease_expires_at` and its `lease_clock`.
pub type LeaseEnd = (Uuid, Timestamp, Option<Uuid>);

/// Ends the work under expired leases of a family, and sets the deadline for leases that expire before
/// the next heartbeat. `find` returns some of the family's leases that expire within a time. `end` ends
/// the work under one of them. Goes on with the next lease after an error, and returns the first error.
pub async fn end_expired<F, E>(
    gateway: &Gateway,
    family: Family,
    find: impl Fn(Reading, Duration) -> F,
    end: impl Fn(Uuid) -> E,
) -> Result<()>
where
    F: Future<Output = std::result::Result<Vec<LeaseEnd>, DbErr>>,
    E: Future<Output = Result<()>>,
{
    let failed = |error: &FamilyError, id: Option<Uuid>| {
        let id = id.map(tracing::field::display);
        tracing::warn!(family = family.name(), id, %error, "cannot end expired leases");
        gateway.work_queue(family).next_lease_end.set(Instant::now() + RETRY);
    };
    let heartbeat = Duration::from_secs(gateway.config.streams.heartbeat_seconds);
    let mut result = Ok(());
    // First the leases that have expired. Times of different clock settings cannot be sorted, so leases
    // that still hold could fill the first query.
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
            // The query may have left some out, and the deadline may not know of others.
            gateway.work_queue(family).next_lease_end.set(Instant::now());
            return result;
        }
    }
    result
}
