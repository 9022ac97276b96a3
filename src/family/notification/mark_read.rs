//! Marks a notification as read.

use entity::{Timestamp, notification};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, IntoActiveModel, QueryFilter, QuerySelect,
};
use uuid::Uuid;

use super::{
    rows::{all_of, topic},
    schema::Notification,
};
use crate::{
    auth::login_session::Principal,
    family::{FamilyError, Result, commit, find_visible, new_event},
    gateway::Gateway,
};

/// Marks a notification as read and publishes a `notification.read` event. Changes nothing if the notification is read
/// already.
///
/// # Errors
/// [`FamilyError::Forbidden`] if `user` is not the caller, [`FamilyError::NotFound`] if the user was deleted or has no
/// notification with this id.
pub async fn mark_read(
    gateway: &Gateway,
    principal: &Principal,
    user: Uuid,
    id: Uuid,
) -> Result<Notification> {
    find_visible(gateway, principal, &topic(user)).await?;
    let tx = gateway.database.begin_write().await?;
    let row = all_of(user).filter(notification::Column::Id.eq(id));
    let row = row.lock_exclusive().one(&tx).await?.ok_or(FamilyError::NotFound)?;
    if row.read_at.is_some() {
        return Ok(row.into());
    }
    let mut change = row.into_active_model();
    change.read_at = Set(Some(Timestamp::now()));
    let row = change.update(&tx).await?;
    let event = new_event("notification.read", &Notification::from(row.clone()))?;
    commit(gateway, tx, &topic(user), vec![event]).await?;
    Ok(row.into())
}
