//! Makes mutations pending again when their lease expires.

use std::time::Duration;

use entity::mutation;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, DbErr, EntityTrait,
    IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use super::rows::{state_event, unfinished};
use crate::{
    clock::Reading,
    database::Transaction,
    event::{Family, NewEvent},
    family::{
        Result, commit,
        queue::{self, ExpiringLease, LEASES_PER_QUERY, expired_within},
        topology::rows::{lock, topic},
    },
    gateway::Gateway,
};

/// The columns that store the end of a lease.
const LEASE_COLUMNS: (mutation::Column, mutation::Column) =
    (mutation::Column::LeaseExpiresAt, mutation::Column::LeaseClock);

/// Makes mutations whose lease has expired pending again, in all topologies.
pub(in crate::family::topology) async fn end_expired(gateway: &Gateway) -> Result<()> {
    let find = |now, time| expiring_leases(gateway, now, time);
    queue::end_expired(gateway, Family::Topology, find, |topology| async move {
        let tx = gateway.database.begin_write().await?;
        lock(&tx, topology).await?;
        let events = requeue_expired(gateway, &tx, topology).await?;
        commit(gateway, tx, &topic(topology), events).await
    })
    .await
}

/// Topologies with leases that expire within `time` from now. Each has the earliest end of its leases, for each clock
/// setting.
async fn expiring_leases(
    gateway: &Gateway,
    now: Reading,
    time: Duration,
) -> std::result::Result<Vec<ExpiringLease>, DbErr> {
    mutation::Entity::find()
        .filter(mutation::Column::State.eq(mutation::State::Applying))
        .filter(expired_within(&now, time, LEASE_COLUMNS))
        .select_only()
        .column(mutation::Column::TopologyId)
        .column_as(mutation::Column::LeaseExpiresAt.min(), "first")
        .column(mutation::Column::LeaseClock)
        .group_by(mutation::Column::TopologyId)
        .group_by(mutation::Column::LeaseClock)
        .order_by_asc(mutation::Column::LeaseExpiresAt.min())
        .limit(LEASES_PER_QUERY)
        .into_tuple()
        .all(gateway.database.reader())
        .await
}

/// The mutations of a topology that are pending, or whose lease has expired.
pub(super) fn claimable(gateway: &Gateway, topology: Uuid) -> Select<mutation::Entity> {
    let pending = mutation::Column::State.eq(mutation::State::Pending);
    let expired = expired_within(&gateway.clock.read(), Duration::ZERO, LEASE_COLUMNS);
    unfinished(topology).filter(Condition::any().add(pending).add(expired))
}

/// Makes mutations whose lease has expired pending again, in a locked topology. Returns the events that report the
/// changes.
pub(super) async fn requeue_expired(
    gateway: &Gateway,
    tx: &Transaction,
    topology: Uuid,
) -> Result<Vec<NewEvent>> {
    let expired = unfinished(topology)
        .filter(mutation::Column::State.eq(mutation::State::Applying))
        .filter(expired_within(&gateway.clock.read(), Duration::ZERO, LEASE_COLUMNS))
        .all(tx)
        .await?;
    let mut events = Vec::with_capacity(expired.len());
    for row in expired {
        let mut change = row.into_active_model();
        change.state = Set(mutation::State::Pending);
        change.lease_token = Set(None);
        change.lease_expires_at = Set(None);
        events.push(state_event(&change.update(tx).await?)?);
    }
    Ok(events)
}
