//! Leases that run out: what the families with work to be claimed share.

use std::time::Duration;

use entity::Timestamp;
use sea_orm::{ColumnTrait, Condition, DbErr};
use tokio::time::Instant;
use uuid::Uuid;

use super::problem::{Problem, Result};
use crate::{
    clock::{Deadline, Reading},
    event::Family,
    gateway::Gateway,
};

/// Before trying again what the database has refused.
const RETRY: Duration = Duration::from_secs(1);

/// Leases that are looked for at a time; there is another look after some of them have ended.
pub(super) const PER_LOOK: u64 = 500;

/// Leases that have run out when `time` has passed, in a table whose columns for `lease_expires_at` and
/// `lease_clock` are these.
pub(super) fn over_after<C: ColumnTrait>(
    now: &Reading,
    time: Duration,
    (expires_at, clock): (C, C),
) -> Condition {
    let (at, others) = now.over_after(time);
    let over = Condition::all().add(expires_at.lte(at));
    if others.is_empty() {
        return over;
    }
    // With a bound that holds for all of them the database searches an index; with the alternatives alone it
    // would go through all rows.
    let latest = others.iter().map(|(_, at)| *at).fold(at, Ord::max);
    let ids = others.iter().map(|(id, _)| *id);
    let rest = Condition::any().add(clock.is_null()).add(clock.is_not_in(ids));
    let any = others.iter().fold(Condition::any().add(over.add(rest)), |any, (id, at)| {
        any.add(Condition::all().add(clock.eq(*id)).add(expires_at.lte(*at)))
    });
    Condition::all().add(expires_at.lte(latest)).add(any)
}

/// An id, `lease_expires_at` and `lease_clock`.
pub(super) type End = (Uuid, Timestamp, Option<Uuid>);

/// Ends what leases that have run out stood for, and sets the alarm for leases that run out before the
/// next heartbeat. `find` returns some of a family's leases that have run out when a time has passed, and
/// `end` ends the work under one of them.
pub(super) async fn end_expired<F, E>(
    gateway: &Gateway,
    family: Family,
    find: impl Fn(Reading, Duration) -> F,
    end: impl Fn(Uuid) -> E,
) where
    F: Future<Output = std::result::Result<Vec<End>, DbErr>>,
    E: Future<Output = Result<()>>,
{
    let failed = |problem: &Problem, id: Option<Uuid>| {
        let (cause, id) = (problem.cause(), id.map(tracing::field::display));
        tracing::warn!(family = family.name(), id, cause, "cannot end leases that ran out");
        gateway.next_lease_end.set(Instant::now() + RETRY);
    };
    let heartbeat = Duration::from_secs(gateway.config.streams.heartbeat_seconds);
    // First those that are over. Times of different settings cannot be sorted, so live leases could stand in front
    // of them.
    for time in [Duration::ZERO, heartbeat] {
        let ends = match find(gateway.clock.read(), time).await {
            Ok(ends) => ends,
            Err(error) => return failed(&error.into(), None),
        };
        let mut some_ended = false;
        for (id, at, clock) in ends {
            let left = gateway.clock.read().left(Deadline { at, clock });
            if !left.is_zero() {
                gateway.next_lease_end.set(Instant::now() + left);
                continue;
            }
            match end(id).await {
                Ok(()) => some_ended = true,
                Err(problem) => failed(&problem, Some(id)),
            }
        }
        if some_ended {
            gateway.offer(family);
            // There may be others that were not looked at, or that the alarm was not told of.
            return gateway.next_lease_end.set(Instant::now());
        }
    }
}
