//! The lease of a task, and the end of a task's attempt when the lease expires.

use std::time::Duration;

use entity::{Timestamp, task};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use super::{
    events::state_event,
    rows::{lock, status_after_release, topic, transition},
};
use crate::{
    clock::{Deadline, Reading},
    event::Family,
    family::{
        LeaseLost, Result, commit,
        queue::{self, LEASES_PER_QUERY, StoredLease, expired_within},
    },
    gateway::Gateway,
};

/// The columns that store the end of a lease.
const LEASE_COLUMNS: (task::Column, task::Column) =
    (task::Column::LeaseExpiresAt, task::Column::LeaseClock);

/// The lease of a task.
pub(super) fn lease_of(row: &task::Model) -> StoredLease {
    StoredLease::new(row.lease_token, row.lease_expires_at, row.lease_clock)
}

/// Refuses a token that is not the token of the newest lease. Refuses if the task has ended or the lease has expired.
pub(in crate::family) fn check(row: &task::Model, token: Uuid, now: &Reading) -> Result<()> {
    let lease = lease_of(row);
    lease.check_token(token)?;
    if row.status != task::Status::Running {
        return Err(LeaseLost::Ended.into());
    }
    Ok(lease.check_time(now)?)
}

/// Renews the lease for its full duration from now. If cancellation was requested, the lease ends with the grace time
/// at the latest. Returns the new end.
pub(super) fn extend(
    change: &mut task::ActiveModel,
    row: &task::Model,
    now: &Reading,
) -> Timestamp {
    let length = Duration::from_secs(u64::try_from(row.lease_seconds).unwrap_or(0));
    let Deadline { at, clock } = now.deadline_in(length);
    let cancel_by =
        row.cancel_by.map(|at| now.converted(Deadline { at, clock: row.lease_clock }).at);
    let until = cancel_by.map_or(at, |by| at.min(by));
    change.lease_expires_at = Set(Some(until));
    change.lease_clock = Set(clock);
    change.cancel_by = Set(cancel_by);
    until
}

/// Ends the attempts whose leases have expired. Each task becomes pending, cancelled or failed.
pub(super) async fn end_expired(gateway: &Gateway) -> Result<()> {
    let find = |now: Reading, time| async move {
        expiring_leases(&now, time).into_tuple().all(gateway.database.reader()).await
    };
    queue::end_expired(gateway, Family::Task, find, |id| end_lease(gateway, id)).await
}

/// Selects tasks whose leases expire within `time` from now, as [`ExpiringLease`](crate::family::queue::ExpiringLease).
fn expiring_leases(now: &Reading, time: Duration) -> Select<task::Entity> {
    task::Entity::find()
        .filter(expired_within(now, time, LEASE_COLUMNS))
        .order_by_asc(task::Column::LeaseExpiresAt)
        .limit(LEASES_PER_QUERY)
        .select_only()
        .columns([task::Column::Id, LEASE_COLUMNS.0, LEASE_COLUMNS.1])
}

/// Ends the attempt of a task, unless its worker has renewed the lease.
async fn end_lease(gateway: &Gateway, id: Uuid) -> Result<()> {
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, id).await?;
    // The worker may have renewed the lease since the query.
    if !lease_of(&row).has_expired(&gateway.clock.read()) {
        return Ok(tx.rollback().await?);
    }
    let now = Timestamp::now();
    let (expired_leases, max) = (row.expired_leases + 1, row.max_attempts);
    let to = match status_after_release(&row) {
        task::Status::Pending if expired_leases >= max => task::Status::Failed,
        other => other,
    };
    let mut change = transition(row, to, now)?;
    change.expired_leases = Set(expired_leases);
    if to == task::Status::Failed {
        change.error =
            Set(Some(format!("no worker finished the task: {expired_leases} leases expired")));
    }
    let row = change.update(&tx).await?;
    commit(gateway, tx, &topic(id), vec![state_event(&row)?]).await
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    };

    use migration::{Migrator, MigratorTrait};
    use sea_orm::{ConnectionTrait, Database, DatabaseBackend, QueryTrait};

    use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

    use super::*;
    use crate::clock::{Clock, TimeSource};

    /// A clock source whose wall clock is set by the test, in seconds.
    #[derive(Debug, Default)]
    struct ManualClock(AtomicI64);

    impl TimeSource for ManualClock {
        fn uptime(&self) -> Duration {
            Duration::from_secs(1)
        }

        fn wall(&self) -> Timestamp {
            Timestamp::from_seconds(self.0.load(SeqCst))
        }
    }

    #[tokio::test]
    async fn query_for_expired_leases_uses_an_index_after_clock_jumps() {
        let database = Database::connect("sqlite::memory:").await.expect("a database");
        Migrator::up(&database, None).await.expect("a schema");
        let source = Arc::new(ManualClock::default());
        let clock = Clock::new(source.clone(), Counter::default(), Gauge::default());
        for jumps in 0..4 {
            source.0.store(jumps * 1_000, SeqCst);
            let mut query =
                expiring_leases(&clock.read(), Duration::ZERO).build(DatabaseBackend::Sqlite);
            assert_eq!(query.sql.contains(" OR "), jumps > 0, "{}", query.sql);
            query.sql = format!("EXPLAIN QUERY PLAN {}", query.sql);
            let plan = database.query_all_raw(query).await.expect("a plan");
            let plan: Vec<String> =
                plan.iter().map(|step| step.try_get("", "detail").expect("a step")).collect();
            let search = "SEARCH task USING INDEX task_lease_expires_at (lease_expires_at<?)";
            assert!(matches!(&plan[..], [only] if only.starts_with(search)), "{plan:?}");
        }
    }
}
