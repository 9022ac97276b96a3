//! Lists a user's notifications.

use entity::notification;
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{
    rows::{all_of, topic, unread_of},
    schema::Notification,
};
use crate::{
    auth::login_session::Principal,
    family::{
        Result, find_visible,
        wire::{Page, page_limit},
    },
    gateway::Gateway,
};

/// A page of a user's notifications, newest first. `unread` selects unread or read notifications. `None` selects all.
///
/// # Errors
/// [`FamilyError::Forbidden`](crate::family::FamilyError::Forbidden) if `user` is not the caller,
/// [`FamilyError::NotFound`](crate::family::FamilyError::NotFound) if the user was deleted.
pub async fn list(
    gateway: &Gateway,
    principal: &Principal,
    user: Uuid,
    unread: Option<bool>,
    (after, limit): (Option<Uuid>, Option<u64>),
) -> Result<Page<Notification>> {
    find_visible(gateway, principal, &topic(user)).await?;
    let limit = page_limit(limit);
    let mut query = match unread {
        Some(true) => unread_of(user),
        Some(false) => all_of(user).filter(notification::Column::ReadAt.is_not_null()),
        None => all_of(user),
    };
    if let Some(after) = after {
        query = query.filter(notification::Column::Id.lt(after));
    }
    let query = query.order_by_desc(notification::Column::Id).limit(limit + 1);
    let rows = query.all(gateway.database.reader()).await?;
    Ok(Page::new(rows, limit, |row| (row.id, row.message.len() + row.data.as_str().len())))
}
