//! The topic and the queries of a user's notifications.

use entity::notification;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Select};
use uuid::Uuid;

use crate::event::{Family, Topic};

/// The topic of a user's notifications.
#[must_use]
pub fn topic(user: Uuid) -> Topic {
    Topic::new(Family::Notification, user)
}

/// All notifications of a user.
pub(super) fn all_of(user: Uuid) -> Select<notification::Entity> {
    notification::Entity::find().filter(notification::Column::UserId.eq(user))
}

/// The unread notifications of a user.
pub(super) fn unread_of(user: Uuid) -> Select<notification::Entity> {
    all_of(user).filter(notification::Column::ReadAt.is_null())
}
