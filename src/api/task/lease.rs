//! How long a worker holds a task, and what becomes of it afterwards.

use std::time::Duration;

use entity::{Timestamp, task};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use super::{
    rows::{event, given_up, lock, turn},
    topic,
};
use crate::{
    api::{
        family, lease,
        problem::{Problem, Result},
    },
    clock::{Deadline, Reading},
    event::Family,
    gateway::Gateway,
};

/// The columns of a lease's deadline.
const COLUMNS: (task::Column, task::Column) =
    (task::Column::LeaseExpiresAt, task::Column::LeaseClock);

/// 409 unless this is the token of the lease that the task is under.
pub(super) fn check(row: &task::Model, lease_token: Uuid, now: &Reading) -> Result<()> {
    if row.lease_token != Some(lease_token) {
        return Err(Problem::conflict("this lease is not the newest of this task"));
    }
    if row.status != task::Status::Running {
        return Err(Problem::conflict("the task has ended"));
    }
    if left(row, now).is_none_or(|left| left.is_zero()) {
        return Err(Problem::conflict("the lease has run out"));
    }
    Ok(())
}

/// How long the lease of a task still holds, if it is under one.
pub(super) fn left(row: &task::Model, now: &Reading) -> Option<Duration> {
    row.lease_expires_at.map(|at| now.left(Deadline { at, clock: row.lease_clock }))
}

/// Extends the lease of a worker who was heard of now by its whole length, but not longer than a task
/// may go on whose end somebody has asked for. Returns until when it holds.
pub(super) fn extend(
    change: &mut task::ActiveModel,
    row: &task::Model,
    now: &Reading,
) -> Timestamp {
    let whole = Duration::from_secs(u64::try_from(row.lease_seconds).unwrap_or(0));
    let Deadline { at, clock } = now.after(whole);
    let cancel_by =
        row.cancel_by.map(|at| now.restated(Deadline { at, clock: row.lease_clock }).at);
    let until = cancel_by.map_or(at, |by| at.min(by));
    change.lease_expires_at = Set(Some(until));
    change.lease_clock = Set(clock);
    change.cancel_by = Set(cancel_by);
    until
}

/// Background work: takes tasks from workers whose leases have run out.
pub(in crate::api) async fn end_leases(gateway: &Gateway) -> crate::family::Result<()> {
    let find = |now: Reading, time| async move {
        ends(&now, time).into_tuple().all(gateway.database.reader()).await
    };
    lease::end_expired(gateway, Family::Task, find, |id| end_lease(gateway, id)).await
}

/// Tasks with leases that have run out when `time` has passed, and when each does, as [`lease::End`].
fn ends(now: &Reading, time: Duration) -> Select<task::Entity> {
    task::Entity::find()
        .filter(lease::over_after(now, time, COLUMNS))
        .order_by_asc(task::Column::LeaseExpiresAt)
        .limit(lease::PER_LOOK)
        .select_only()
        .columns([task::Column::Id, COLUMNS.0, COLUMNS.1])
}

/// Takes a task from its worker, if its lease has indeed run out.
async fn end_lease(gateway: &Gateway, id: Uuid) -> crate::family::Result<()> {
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, id).await?;
    // The worker may have been heard of since.
    if left(&row, &gateway.clock.read()).is_none_or(|left| !left.is_zero()) {
        return Ok(tx.rollback().await?);
    }
    let now = Timestamp::now();
    let (lapses, most) = (row.lapses + 1, row.max_attempts);
    let to = match given_up(&row) {
        task::Status::Pending if lapses >= most => task::Status::Failed,
        other => other,
    };
    let mut change = turn(row, to, now)?;
    change.lapses = Set(lapses);
    if to == task::Status::Failed {
        change.error = Set(Some(format!("no worker finished it: {lapses} leases ran out")));
    }
    let row = change.update(&tx).await?;
    family::commit(gateway, tx, &topic(id), vec![event(&row)?]).await
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
    use crate::clock::{Clock, Source};

    /// A machine whose wall clock is set by hand, in seconds.
    #[derive(Debug, Default)]
    struct Hand(AtomicI64);

    impl Source for Hand {
        fn uptime(&self) -> Duration {
            Duration::from_secs(1)
        }

        fn wall(&self) -> Timestamp {
            Timestamp::from_seconds(self.0.load(SeqCst))
        }
    }

    #[tokio::test]
    async fn a_look_for_leases_searches_an_index_also_after_jumps() {
        let database = Database::connect("sqlite::memory:").await.expect("a database");
        Migrator::up(&database, None).await.expect("a schema");
        let hand = Arc::new(Hand::default());
        let clock = Clock::new(hand.clone(), Counter::default(), Gauge::default());
        for jumps in 0..4 {
            hand.0.store(jumps * 1_000, SeqCst);
            let mut query = ends(&clock.read(), Duration::ZERO).build(DatabaseBackend::Sqlite);
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
