//! Creates a task.

use entity::{Timestamp, task, user};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    QuerySelect, sea_query::LockType,
};
use uuid::Uuid;

use super::{
    rows::{resource, topic},
    schema::{NewTask, Task},
    status::UNFINISHED,
};
use crate::{
    auth::login_session::Principal,
    database::Transaction,
    event::Family,
    family::{FamilyError, Result, oauth, wire::json_value},
    gateway::Gateway,
};

/// Maximum size of an input, in bytes of JSON. One list or claim can return many inputs.
const MAX_INPUT: usize = 16_384;

/// Maximum number of unfinished tasks of an owner.
const MAX_UNFINISHED: u64 = 1_000;

/// Default of `max_attempts`. A task fails when this number of its leases has expired.
const DEFAULT_MAX_ATTEMPTS: i32 = 3;

/// Creates a task that belongs to the caller.
///
/// # Errors
/// [`FamilyError::TooMany`] if the caller has 1,000 unfinished tasks, [`FamilyError::BadInput`] if the input is too
/// large.
pub async fn create(gateway: &Gateway, principal: &Principal, new: NewTask) -> Result<Task> {
    let NewTask { task_type, input, max_attempts, requires } = new;
    let input = input.as_ref().map(|input| json_value("input", input, MAX_INPUT)).transpose()?;
    let owner_id = principal.user_id;
    let requires = oauth::check_new(gateway, owner_id, requires).await?;
    let lookup = gateway.visibility.start_lookup();
    let tx = gateway.database.begin_write().await?;
    check_unfinished(&tx, owner_id).await?;
    let now = Timestamp::now();
    let row = task::Model {
        id: Uuid::now_v7(),
        owner_id,
        task_type: task_type.0,
        input: input.cloned(),
        requires,
        output: None,
        error: None,
        status: task::Status::Pending,
        attempt: 0,
        max_attempts: max_attempts.unwrap_or(DEFAULT_MAX_ATTEMPTS),
        expired_leases: 0,
        cancel_by: None,
        lease_token: None,
        lease_seconds: 0,
        lease_expires_at: None,
        lease_clock: None,
        report_seq: 0,
        created_at: now,
        updated_at: now,
        completed_at: None,
    };
    let row = row.into_active_model().insert(&tx).await?;
    gateway.hub.log().create(&tx, &topic(row.id)).await?;
    gateway.hub.commit(tx, Vec::new()).await?;
    gateway.visibility.insert(topic(row.id), resource(&row), lookup);
    gateway.notify_workers(Family::Task);
    Ok(Task { artifacts: Some(Vec::new()), ..row.into() })
}

/// Refuses if the owner has the maximum number of unfinished tasks. Locks the owner's row, so that concurrent requests
/// cannot exceed the maximum.
async fn check_unfinished(tx: &Transaction, owner: Uuid) -> Result<()> {
    user::Entity::find_by_id(owner).lock(LockType::NoKeyUpdate).one(tx).await?;
    let unfinished = task::Entity::find()
        .filter(task::Column::OwnerId.eq(owner))
        .filter(task::Column::Status.is_in(UNFINISHED));
    if unfinished.count(tx).await? >= MAX_UNFINISHED {
        return Err(FamilyError::TooMany("this owner has 1,000 unfinished tasks already"));
    }
    Ok(())
}
