//! Changes the status of a topology.

use entity::{Timestamp, topology, topology_transition};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, IntoActiveModel};
use uuid::Uuid;

use super::{
    mutation::fail_unfinished,
    rows::{lock, topic},
    schema::{NewStatus, Topology, TopologyStatus, Transition},
    status::is_transition,
};
use crate::{
    auth::login_session::Principal,
    event::Family,
    family::{FamilyError, Result, commit, new_event},
    gateway::Gateway,
};

/// Changes the status of a topology and adds a transition to its audit trail. `torn_down` fails every
/// unfinished mutation and ends the topology's streams.
///
/// # Errors
/// [`FamilyError::NotFound`] if the topology does not exist, [`FamilyError::Conflict`] if the topology cannot change
/// from its status to the new one.
pub async fn update_status(
    gateway: &Gateway,
    principal: &Principal,
    id: Uuid,
    new: NewStatus,
) -> Result<Topology> {
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, id).await?;
    let (from, to) = (row.status, new.status.into());
    if !is_transition(from, to) {
        let (from, to) = (TopologyStatus::from(from), new.status);
        return Err(FamilyError::conflict(format!("a topology that is {from} cannot become {to}")));
    }
    let now = Timestamp::now();
    let transition = topology_transition::Model {
        id: Uuid::now_v7(),
        topology_id: row.id,
        from_status: from,
        to_status: to,
        at: now,
        reason: new.reason.map(|reason| reason.0),
        user_id: principal.user_id,
    };
    transition.clone().into_active_model().insert(&tx).await?;
    let version = row.version + 1;
    let mut change = row.into_active_model();
    change.status = Set(to);
    change.status_changed_at = Set(now);
    change.version = Set(version);
    let row = change.update(&tx).await?;
    let terminal = to == topology::Status::TornDown;
    let mut events = Vec::new();
    if terminal {
        events.extend(fail_unfinished(&tx, row.id, "the topology was torn down").await?);
    }
    let status = new_event("status", &Transition::from(transition))?;
    events.push(if terminal { status.terminal() } else { status });
    commit(gateway, tx, &topic(row.id), events).await?;
    // Mutations of the topology may be claimable now.
    gateway.notify_workers(Family::Topology);
    Ok(row.into())
}
