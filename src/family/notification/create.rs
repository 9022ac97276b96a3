//! Creates a notification.

use entity::{notification, user};
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, QuerySelect};
use uuid::Uuid;

use super::{
    rows::topic,
    schema::{NewNotification, Notification},
};
use crate::{
    family::{FamilyError, Result, commit, new_event, wire::json_object},
    gateway::Gateway,
};

/// Creates a notification for a user and publishes it on the user's stream.
///
/// # Errors
/// [`FamilyError::NotFound`] if the user does not exist, [`FamilyError::BadInput`] if `data` is too large.
pub async fn create(gateway: &Gateway, user: Uuid, new: NewNotification) -> Result<Notification> {
    let data = json_object("data", new.data.unwrap_or_default())?;
    let tx = gateway.database.begin_write().await?;
    // Locked, so that the user cannot be deleted before the commit.
    let user = user::Entity::find_by_id(user).lock_shared().one(&tx).await?;
    let user = user.ok_or(FamilyError::NotFound)?;
    let row = notification::Model {
        id: Uuid::now_v7(),
        user_id: user.id,
        kind: new.kind.0,
        message: new.message.0,
        provider: new.provider.map(|provider| provider.0),
        success: new.success,
        data,
        created_at: gateway.clock.now(),
        read_at: None,
    };
    let row = row.into_active_model().insert(&tx).await?;
    let event = new_event("notification", &Notification::from(row.clone()))?;
    commit(gateway, tx, &topic(user.id), vec![event]).await?;
    Ok(row.into())
}
