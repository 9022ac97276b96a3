//! Reports the outcome of a mutation.

use entity::{Timestamp, mutation};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter,
};
use uuid::Uuid;

use super::{
    rows::state_event,
    schema::{Mutation, MutationReport},
};
use crate::{
    family::{
        FamilyError, LeaseLost, Result, commit,
        queue::StoredLease,
        topology::rows::{lock, topic},
    },
    gateway::Gateway,
};

/// Reports the outcome of a claimed mutation. A report that is sent again changes nothing and gets the same response.
///
/// # Errors
/// - [`FamilyError::NotFound`] if the topology does not exist, or has no mutation with this id.
/// - [`FamilyError::LeaseLost`] if the lease is not the newest or has expired, or if the mutation ended with the other
///   outcome.
pub async fn report(
    gateway: &Gateway,
    topology: Uuid,
    id: Uuid,
    report: MutationReport,
) -> Result<Mutation> {
    let tx = gateway.database.begin_write().await?;
    lock(&tx, topology).await?;
    let row = mutation::Entity::find_by_id(id)
        .filter(mutation::Column::TopologyId.eq(topology))
        .one(&tx)
        .await?
        .ok_or(FamilyError::NotFound)?;
    let now = Timestamp::now();
    let state = report.state.into();
    let lease = StoredLease::new(row.lease_token, row.lease_expires_at, row.lease_clock);
    lease.check_token(report.lease_token)?;
    if row.state == state {
        return Ok(row.into());
    }
    if row.state != mutation::State::Applying {
        return Err(LeaseLost::Ended.into());
    }
    lease.check_time(&gateway.clock.read())?;
    let mut change = row.into_active_model();
    change.state = Set(state);
    change.reason = Set(report.reason.map(|reason| reason.0));
    change.applied_at = Set((state == mutation::State::Applied).then_some(now));
    change.lease_expires_at = Set(None);
    let row = change.update(&tx).await?;
    commit(gateway, tx, &topic(topology), vec![state_event(&row)?]).await?;
    Ok(row.into())
}
