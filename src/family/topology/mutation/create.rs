//! Enqueues a mutation.

use entity::{Timestamp, mutation};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, IntoActiveModel, PaginatorTrait};
use uuid::Uuid;

use super::{
    rows::{state_event, unfinished},
    schema::{Mutation, NewMutation},
};
use crate::{
    event::Family,
    family::{
        FamilyError, Result, commit,
        topology::{
            rows::{lock, topic},
            status::accepts_mutations,
        },
        wire::json_object,
    },
    gateway::Gateway,
};

/// Maximum number of unfinished mutations of a topology. Every snapshot contains them, so this limits a snapshot to a
/// few megabytes.
const MAX_UNFINISHED: u64 = 200;

/// Enqueues a mutation of a topology.
///
/// # Errors
/// - [`FamilyError::NotFound`] if the topology does not exist.
/// - [`FamilyError::Conflict`] if the topology does not accept mutations, or if its version is not the expected one.
/// - [`FamilyError::TooMany`] if the topology has 200 unfinished mutations.
/// - [`FamilyError::BadInput`] if the payload is too large.
pub async fn create(gateway: &Gateway, topology: Uuid, new: NewMutation) -> Result<Mutation> {
    let NewMutation { op, payload, expected_version } = new;
    let payload = json_object("payload", payload)?;
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, topology).await?;
    if !accepts_mutations(&row) {
        return Err(FamilyError::conflict("the topology is neither active nor degraded"));
    }
    if expected_version.is_some_and(|version| version != row.version) {
        let reason = format!("the topology's version is {}, not the expected one", row.version);
        return Err(FamilyError::conflict(reason));
    }
    if unfinished(topology).count(&tx).await? >= MAX_UNFINISHED {
        return Err(FamilyError::TooMany("this topology has 200 unfinished mutations already"));
    }
    let version = row.version + 1;
    let mut change = row.into_active_model();
    change.version = Set(version);
    change.update(&tx).await?;
    let row = mutation::Model {
        id: Uuid::now_v7(),
        topology_id: topology,
        op: op.into(),
        payload,
        state: mutation::State::Pending,
        requested_at: Timestamp::now(),
        applied_at: None,
        reason: None,
        attempt: 0,
        lease_token: None,
        lease_expires_at: None,
        lease_clock: None,
    };
    let row = row.into_active_model().insert(&tx).await?;
    commit(gateway, tx, &topic(topology), vec![state_event(&row)?]).await?;
    gateway.notify_workers(Family::Topology);
    Ok(row.into())
}
