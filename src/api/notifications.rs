//! Notifications over HTTP.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};
use uuid::Uuid;

use super::{
    caller::{Agent, Caller, Viewer},
    json::Json,
    problem::{ReadResult, WriteResult},
    responses::Created,
    tag::Tag,
};
use crate::{
    family::{
        notification::{self, NewNotification, Notification},
        wire::Page,
    },
    gateway::Gateway,
};

/// The operations.
pub(super) struct NotificationsApi;

#[OpenApi(prefix_path = "/v1/users", tag = "Tag::Notification")]
impl NotificationsApi {
    /// Create a notification
    ///
    /// Stores a notification for a user, and sends it to the user's streams. Requires the role agent. 404 if the user
    /// does not exist.
    #[oai(path = "/:id/notifications", method = "post", operation_id = "notification_create")]
    async fn create(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// Id of the user to notify.
        id: Path<Uuid>,
        body: Json<NewNotification>,
    ) -> WriteResult<Created<Notification>> {
        let notification = notification::create(&gateway, id.0, body.0).await?;
        Ok(Created::Created(Json(notification)))
    }

    /// List notifications
    ///
    /// Returns the caller's notifications, newest first. Requires the role viewer. 403 for notifications
    /// of another user.
    #[oai(path = "/:id/notifications", method = "get", operation_id = "notification_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// User id.
        id: Path<Uuid>,
        /// `true` returns only unread notifications, `false` returns only read notifications.
        unread: Query<Option<bool>>,
        /// Return only notifications that are older than the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of notifications to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<Notification>>> {
        let page = (after.0, limit.0);
        let list = notification::list(&gateway, &caller.principal, id.0, unread.0, page);
        Ok(Json(list.await?))
    }

    /// Mark a notification read
    ///
    /// Marks a notification of the caller as read. Changes nothing if it is already read. Requires the role viewer. 403
    /// for notifications of another user.
    #[oai(
        path = "/:id/notifications/:notification_id/read",
        method = "post",
        operation_id = "notification_update"
    )]
    async fn mark_read(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// User id.
        id: Path<Uuid>,
        /// Notification id.
        notification_id: Path<Uuid>,
    ) -> WriteResult<Json<Notification>> {
        let notification_id = notification_id.0;
        let read = notification::mark_read(&gateway, &caller.principal, id.0, notification_id);
        Ok(Json(read.await?))
    }
}
