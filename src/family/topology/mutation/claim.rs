//! Claims mutations.

use std::time::Duration;

use entity::mutation;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    expire::{claimable, requeue_expired},
    rows::state_event,
    schema::{ClaimMutations, ClaimedMutation},
};
use crate::{
    auth::login_session::Principal,
    event::Family,
    family::{
        Result, commit, find_visible,
        queue::{DEFAULT_LEASE_SECONDS, claim_or_wait},
        topology::{
            rows::{lock, topic},
            status::accepts_mutations,
        },
    },
    gateway::Gateway,
};

/// Claims the oldest pending mutations of a topology, or waits for one. See [`claim_or_wait`].
///
/// # Errors
/// [`FamilyError::NotFound`](crate::family::FamilyError::NotFound) if the topology does not exist.
pub async fn claim(
    gateway: &Gateway,
    principal: &Principal,
    topology: Uuid,
    request: &ClaimMutations,
    client_gone: impl Future<Output = ()>,
) -> Result<Vec<ClaimedMutation>> {
    find_visible(gateway, principal, &topic(topology)).await?;
    let wait = Duration::from_secs(request.wait_seconds.unwrap_or(0));
    let claim = || claim_pending(gateway, topology, request);
    claim_or_wait(gateway, Family::Topology, wait, client_gone, claim).await
}

/// Claims pending mutations, at most as many as the request asks for.
async fn claim_pending(
    gateway: &Gateway,
    topology: Uuid,
    request: &ClaimMutations,
) -> Result<Vec<ClaimedMutation>> {
    if claimable(gateway, topology).count(gateway.database.reader()).await? == 0 {
        // Workers claim all the time, and mostly there is nothing to claim. Then a read is enough.
        return Ok(Vec::new());
    }
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, topology).await?;
    let mut events = requeue_expired(gateway, &tx, topology).await?;
    let rows = if accepts_mutations(&row) {
        mutation::Entity::find()
            .filter(mutation::Column::TopologyId.eq(topology))
            .filter(mutation::Column::State.eq(mutation::State::Pending))
            .order_by_asc(mutation::Column::Id)
            .limit(request.max.unwrap_or(1))
            .all(&tx)
            .await?
    } else {
        Vec::new()
    };
    let seconds = request.lease_seconds.unwrap_or(DEFAULT_LEASE_SECONDS.into());
    let lease = Duration::from_secs(seconds);
    let (lease_token, until) = (Uuid::new_v4(), gateway.clock.read().deadline_in(lease));
    let lease_end = Instant::now() + lease;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in rows {
        let attempt = row.attempt + 1;
        let mut change = row.into_active_model();
        change.state = Set(mutation::State::Applying);
        change.attempt = Set(attempt);
        change.lease_token = Set(Some(lease_token));
        change.lease_expires_at = Set(Some(until.at));
        change.lease_clock = Set(until.clock);
        let row = change.update(&tx).await?;
        events.push(state_event(&row)?);
        claimed.push(ClaimedMutation {
            mutation: row.into(),
            attempt,
            lease_token,
            lease_expires_at: until.at.datetime(),
        });
    }
    commit(gateway, tx, &topic(topology), events).await?;
    if !claimed.is_empty() {
        gateway.work_queue(Family::Topology).next_lease_end.set(lease_end);
    }
    Ok(claimed)
}
