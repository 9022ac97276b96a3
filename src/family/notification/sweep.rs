//! Deletes notifications that are older than the retention, and the event logs of deleted users. The database deletes
//! the notifications of a user together with the user.

use entity::{Timestamp, notification, user};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{
    rows::{all_of, topic},
    schema::NotificationsExpired,
};
use crate::{
    event::{Family, Topic},
    event_log::Retention,
    family::{Result, SilentTopics, commit, new_event},
    gateway::Gateway,
};

/// Maximum number of notifications that one transaction deletes.
const ROWS_PER_TRANSACTION: u64 = 500;

/// Deletes notifications that are older than the retention of events. If some were unread, the user's stream gets a
/// `notification.expired` event with their ids.
pub(super) async fn delete_expired(gateway: &Gateway, retention: Retention) -> Result<()> {
    let cutoff = retention.cutoff(&gateway.clock.read());
    let is_expired = || notification::Column::CreatedAt.lt(cutoff);
    loop {
        let oldest = notification::Entity::find().filter(is_expired());
        let oldest = oldest.order_by_asc(notification::Column::CreatedAt);
        let Some(oldest) = oldest.one(gateway.database.reader()).await? else { return Ok(()) };
        let user = oldest.user_id;
        let tx = gateway.database.begin_write().await?;
        let expired = all_of(user).filter(is_expired()).order_by_asc(notification::Column::Id);
        let expired = expired.limit(ROWS_PER_TRANSACTION).lock_exclusive().all(&tx).await?;
        let unread = expired.iter().filter(|row| row.read_at.is_none());
        let unread: Vec<Uuid> = unread.map(|row| row.id).collect();
        notification::Entity::delete_many()
            .filter(notification::Column::Id.is_in(expired.iter().map(|row| row.id)))
            .exec(&tx)
            .await?;
        let mut events = Vec::new();
        if !unread.is_empty() {
            events.push(new_event("notification.expired", &NotificationsExpired { unread })?);
        }
        commit(gateway, tx, &topic(user), events).await?;
    }
}

/// Deletes the event logs of these users, which were deleted.
pub async fn delete_logs(gateway: &Gateway, users: &[Uuid]) -> Result<()> {
    let topics: Vec<Topic> = users.iter().copied().map(topic).collect();
    let tx = gateway.database.begin_write().await?;
    gateway.hub.log().remove(&tx, &topics).await?;
    tx.commit().await?;
    for topic in &topics {
        gateway.visibility.invalidate(topic);
    }
    Ok(())
}

/// Deletes the event logs of all deleted users. A log can remain if the gateway stopped before it deleted the log, or
/// if a request created the log again.
pub(super) async fn delete_logs_of_deleted_users(gateway: &Gateway) -> Result<()> {
    // No event is later than this time, so the pages contain every log of the family.
    let mut pages = SilentTopics::new(gateway, Family::Notification, Timestamp(i64::MAX));
    while let Some(topics) = pages.next_page().await? {
        let mut deleted: Vec<Uuid> = topics.iter().map(Topic::id).collect();
        let existing: Vec<Uuid> = user::Entity::find()
            .filter(user::Column::Id.is_in(deleted.iter().copied()))
            .select_only()
            .column(user::Column::Id)
            .into_tuple()
            .all(gateway.database.reader())
            .await?;
        deleted.retain(|id| !existing.contains(id));
        if !deleted.is_empty() {
            delete_logs(gateway, &deleted).await?;
        }
    }
    Ok(())
}
