//! Mutations' rows: their queue, their leases, the events that tell of them.

use std::time::Duration;

use entity::mutation;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, DbErr, EntityTrait,
    IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::schema::Mutation;
use crate::{
    api::{
        family::{self, new_event},
        lease::{self, End},
        problem::Result,
        topology::{lock, topic},
    },
    clock::Reading,
    database::Transaction,
    event::{Family, NewEvent},
    gateway::Gateway,
};

/// Background work: makes mutations pending again whose leases have run out, on all topologies.
pub(in crate::api) async fn requeue_expired(gateway: &Gateway) -> crate::family::Result<()> {
    let find = |now, time| ends(gateway, now, time);
    lease::end_expired(gateway, Family::Topology, find, |id| async move {
        let tx = gateway.database.begin_write().await?;
        lock(&tx, id).await?;
        let events = requeue(gateway, &tx, id).await?;
        family::commit(gateway, tx, &topic(id), events).await
    })
    .await
}

/// The columns of a lease's deadline.
const COLUMNS: (mutation::Column, mutation::Column) =
    (mutation::Column::LeaseExpiresAt, mutation::Column::LeaseClock);

/// Topologies with leases that have run out when `time` has passed, and when the first of each does, by
/// each clock.
async fn ends(
    gateway: &Gateway,
    now: Reading,
    time: Duration,
) -> std::result::Result<Vec<End>, DbErr> {
    mutation::Entity::find()
        .filter(mutation::Column::State.eq(mutation::State::Applying))
        .filter(lease::over_after(&now, time, COLUMNS))
        .select_only()
        .column(mutation::Column::TopologyId)
        .column_as(mutation::Column::LeaseExpiresAt.min(), "first")
        .column(mutation::Column::LeaseClock)
        .group_by(mutation::Column::TopologyId)
        .group_by(mutation::Column::LeaseClock)
        .order_by_asc(mutation::Column::LeaseExpiresAt.min())
        .limit(lease::PER_LOOK)
        .into_tuple()
        .all(gateway.database.reader())
        .await
}

/// Mutations of a topology that are neither applied nor failed.
pub(super) fn unfinished(topology: Uuid) -> sea_orm::Select<mutation::Entity> {
    let states = [mutation::State::Pending, mutation::State::Applying];
    mutation::Entity::find()
        .filter(mutation::Column::TopologyId.eq(topology))
        .filter(mutation::Column::State.is_in(states))
        .order_by_asc(mutation::Column::Id)
}

/// Those of them that are pending, or would be if their lease were looked at.
pub(super) fn claimable(gateway: &Gateway, topology: Uuid) -> sea_orm::Select<mutation::Entity> {
    let pending = mutation::Column::State.eq(mutation::State::Pending);
    let expired = lease::over_after(&gateway.clock.read(), Duration::ZERO, COLUMNS);
    unfinished(topology).filter(Condition::any().add(pending).add(expired))
}

/// The same as rows, for a snapshot.
pub(in crate::api::topology) async fn in_flight(
    tx: &Transaction,
    topology: Uuid,
) -> std::result::Result<Vec<mutation::Model>, DbErr> {
    unfinished(topology).all(tx).await
}

/// Ends all of them without success.
pub(in crate::api::topology) async fn fail_all(
    tx: &Transaction,
    topology: Uuid,
    reason: &str,
) -> Result<Vec<NewEvent>> {
    let mut events = Vec::new();
    for row in in_flight(tx, topology).await? {
        let mut end = row.into_active_model();
        end.state = Set(mutation::State::Failed);
        end.reason = Set(Some(reason.to_owned()));
        end.lease_token = Set(None);
        end.lease_expires_at = Set(None);
        events.push(event(&end.update(tx).await?)?);
    }
    Ok(events)
}

/// Makes mutations of a locked topology pending again whose leases have run out.
pub(super) async fn requeue(
    gateway: &Gateway,
    tx: &Transaction,
    topology: Uuid,
) -> Result<Vec<NewEvent>> {
    let expired = unfinished(topology)
        .filter(mutation::Column::State.eq(mutation::State::Applying))
        .filter(lease::over_after(&gateway.clock.read(), Duration::ZERO, COLUMNS))
        .all(tx)
        .await?;
    let mut events = Vec::with_capacity(expired.len());
    for row in expired {
        let mut back = row.into_active_model();
        back.state = Set(mutation::State::Pending);
        back.lease_token = Set(None);
        back.lease_expires_at = Set(None);
        events.push(event(&back.update(tx).await?)?);
    }
    Ok(events)
}

pub(super) fn event(row: &mutation::Model) -> Result<NewEvent> {
    let kind = match row.state {
        mutation::State::Pending => "mutation.enqueued",
        mutation::State::Applying => "mutation.applying",
        mutation::State::Applied => "mutation.applied",
        mutation::State::Failed => "mutation.failed",
    };
    Ok(new_event(kind, &Mutation::from(row.clone()))?)
}
