//! Leases that run out: what the families with work to be claimed share.

use std::time::Duration;

use entity::Timestamp;
use sea_orm::DbErr;
use tokio::time::Instant;
use uuid::Uuid;

use super::problem::{Problem, Result};
use crate::{event::Family, gateway::Gateway};

/// Before trying again what the database has refused.
const RETRY: Duration = Duration::from_secs(1);

/// Leases that are looked for at a time; there is another look after some of them have ended.
pub(super) const PER_LOOK: u64 = 500;

/// Leases that run out by then are looked for: later ones are, with the next heartbeat.
pub(super) fn horizon(gateway: &Gateway) -> Timestamp {
    Timestamp::now() + Duration::from_secs(gateway.config.streams.heartbeat_seconds)
}

/// Ends what leases that have run out stood for, and sets the alarm for those that soon will. `ends`
/// are when they run out, with the ids to `end` them by.
pub(super) async fn end_expired<F>(
    gateway: &Gateway,
    family: Family,
    ends: std::result::Result<Vec<(Uuid, Timestamp)>, DbErr>,
    end: impl Fn(Uuid) -> F,
) where
    F: Future<Output = Result<()>>,
{
    let failed = |problem: &Problem, id: Option<Uuid>| {
        let (cause, id) = (problem.cause(), id.map(tracing::field::display));
        tracing::warn!(family = family.name(), id, cause, "cannot end leases that ran out");
        gateway.leases.set(Instant::now() + RETRY);
    };
    let ends = match ends {
        Ok(ends) => ends,
        Err(error) => return failed(&error.into(), None),
    };
    let mut some_ended = false;
    for (id, at) in ends {
        let left = at.since(Timestamp::now());
        if !left.is_zero() {
            gateway.leases.set(Instant::now() + left);
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
        gateway.leases.set(Instant::now());
    }
}
