//! A user's notifications as a resource with a topic.

use std::sync::Arc;

use async_trait::async_trait;
use entity::{notification, user};
use sea_orm::{DbErr, EntityTrait, PaginatorTrait, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{
    events::EVENTS,
    rows::{topic, unread_of},
    schema::{Notification, NotificationSnapshot},
    sweep::{delete_expired, delete_logs_of_deleted_users},
};
use crate::{
    auth::login_session::Principal,
    database::Transaction,
    event_log::Retention,
    family::{EventKind, FamilyError, ResourceFamily, ResourceState, Result, wire::ResetReason},
    gateway::Gateway,
    visibility::Resource,
};

/// Maximum number of unread notifications in a snapshot.
const NOTIFICATIONS_PER_SNAPSHOT: u64 = 50;

/// The family `notification`.
pub struct NotificationFamily;

#[async_trait]
impl ResourceFamily for NotificationFamily {
    fn events(&self) -> &'static [EventKind] {
        &EVENTS
    }

    fn authorize(&self, principal: &Principal, id: Uuid) -> Result<()> {
        // The response is the same whether or not the user exists.
        if principal.user_id == id {
            return Ok(());
        }
        Err(FamilyError::Forbidden("a user may see only their own notifications"))
    }

    async fn look_up(
        &self,
        gateway: &Gateway,
        id: Uuid,
    ) -> std::result::Result<Option<Resource>, DbErr> {
        if user::Entity::find_by_id(id).one(gateway.database.reader()).await?.is_none() {
            return Ok(None);
        }
        // A new user has no log yet, because the layer that creates users does not know topics.
        let log = gateway.hub.log();
        if log.positions(&[topic(id)]).await?.is_empty() {
            let tx = gateway.database.begin_write().await?;
            log.create(&tx, &topic(id)).await?;
            tx.commit().await?;
        }
        Ok(Some(Resource::owned_by(id)))
    }

    async fn state(
        &self,
        tx: &Transaction,
        id: Uuid,
        reset: Option<ResetReason>,
    ) -> std::result::Result<Option<ResourceState>, DbErr> {
        let unread = unread_of(id).count(tx).await?;
        let newest = unread_of(id).order_by_desc(notification::Column::Id);
        let newest = newest.limit(NOTIFICATIONS_PER_SNAPSHOT).all(tx).await?;
        let notifications = newest.into_iter().map(Notification::from).collect();
        let snapshot = NotificationSnapshot { unread, notifications, reset };
        Ok(Some(ResourceState::with_limit(snapshot, false, NotificationSnapshot::shorten)))
    }

    async fn sweep(&self, gateway: &Arc<Gateway>, retention: Retention) -> Result<()> {
        delete_logs_of_deleted_users(gateway).await?;
        delete_expired(gateway, retention).await
    }
}
