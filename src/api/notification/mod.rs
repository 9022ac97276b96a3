//! Notifications: what a user is told, by agents and operators. Nobody but that user sees them, not
//! even an administrator.
//!
//! The topic of all notifications of a user has the user's id.

mod schema;

use std::sync::Arc;

use async_trait::async_trait;
use entity::{Timestamp, notification, user};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, IntoActiveModel,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use super::{
    Page, Tag,
    caller::{Agent, Caller, StreamCaller, Viewer},
    event_page::Events,
    family::{self, Resources, State, new_event},
    page_limit,
    problem::{Problem, Result},
    stored,
    stream::{Parameters, StreamResponse},
};
use crate::{
    auth::login_session::Principal,
    database::Transaction,
    event::{Family, Topic},
    event_log::Retention,
    family::EventKind,
    gateway::Gateway,
    visibility::Resource,
};
use schema::{NewNotification, Notification, NotificationSnapshot, NotificationsExpired};

/// Unread notifications in a snapshot.
const NEWEST: u64 = 50;

/// Notifications that are deleted in one transaction.
const ROWS_PER_DELETE: u64 = 500;

const EVENTS: [EventKind; 4] = [
    EventKind {
        kind: "snapshot",
        description: "The present state: first, unless a cursor could be resumed from.",
        schema: crate::family::schema::<NotificationSnapshot>,
    },
    EventKind {
        kind: "notification",
        description: "The user is told something; `kind` in the data says about what.",
        schema: crate::family::schema::<Notification>,
    },
    EventKind {
        kind: "notification.read",
        description: "The user has read it: one less is unread.",
        schema: crate::family::schema::<Notification>,
    },
    EventKind {
        kind: "notification.expired",
        description: "Notifications, some of them unread, were so old that they were deleted.",
        schema: crate::family::schema::<NotificationsExpired>,
    },
];

#[derive(ApiResponse)]
enum Created {
    /// The user was told.
    #[oai(status = 201)]
    Created(Json<Notification>),
}

/// The operations.
pub(crate) struct Notifications;

#[OpenApi(prefix_path = "/v1/users", tag = "Tag::Notification")]
impl Notifications {
    /// Notify a user
    ///
    /// Needs the role agent.
    #[oai(path = "/:id/notifications", method = "post", operation_id = "notification_create")]
    async fn create(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// The id of the user to be told.
        id: Path<Uuid>,
        body: Json<NewNotification>,
    ) -> Result<Created> {
        let data = stored::object("data", body.0.data.unwrap_or_default())?;
        let tx = gateway.database.begin_write().await?;
        // Locked, so that the user cannot be deleted in the meantime.
        let user = user::Entity::find_by_id(id.0).lock_shared().one(&tx).await?;
        let user = user.ok_or_else(Problem::not_found)?;
        let row = notification::Model {
            id: Uuid::now_v7(),
            user_id: user.id,
            kind: body.0.kind.0,
            message: body.0.message.0,
            provider: body.0.provider.map(|provider| provider.0),
            success: body.0.success,
            data,
            created_at: gateway.clock.now(),
            read_at: None,
        };
        let row = row.into_active_model().insert(&tx).await?;
        let event = new_event("notification", &Notification::from(row.clone()))?;
        family::commit(&gateway, tx, &topic(user.id), vec![event]).await?;
        Ok(Created::Created(Json(row.into())))
    }

    /// List one's notifications
    ///
    /// Newest first. Needs the role viewer; 403 for those of another user.
    #[oai(path = "/:id/notifications", method = "get", operation_id = "notification_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The user's id.
        id: Path<Uuid>,
        /// With true, only those that are not read; with false, only those that are.
        unread: Query<Option<bool>>,
        /// Only those after the one with this id, which are older: `next` of the page before.
        after: Query<Option<Uuid>>,
        /// How many at most.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> Result<Json<Page<Notification>>> {
        family::exists(&gateway, &caller.principal, &topic(id.0)).await?;
        let limit = page_limit(limit.0);
        let mut query = match unread.0 {
            Some(true) => unread_of(id.0),
            Some(false) => all_of(id.0).filter(notification::Column::ReadAt.is_not_null()),
            None => all_of(id.0),
        };
        if let Some(after) = after.0 {
            query = query.filter(notification::Column::Id.lt(after));
        }
        let query = query.order_by_desc(notification::Column::Id).limit(limit + 1);
        let rows = query.all(gateway.database.reader()).await?;
        Ok(Json(Page::new(rows, limit, |row| {
            (row.id, row.message.len() + row.data.as_str().len())
        })))
    }

    /// Mark a notification as read
    ///
    /// Once more changes nothing. Needs the role viewer; 403 for those of another user.
    #[oai(
        path = "/:id/notifications/:notification_id/read",
        method = "post",
        operation_id = "notification_read"
    )]
    async fn read(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The user's id.
        id: Path<Uuid>,
        /// The notification's id.
        notification_id: Path<Uuid>,
    ) -> Result<Json<Notification>> {
        family::exists(&gateway, &caller.principal, &topic(id.0)).await?;
        let tx = gateway.database.begin_write().await?;
        let row = all_of(id.0).filter(notification::Column::Id.eq(notification_id.0));
        let row = row.lock_exclusive().one(&tx).await?.ok_or_else(Problem::not_found)?;
        if row.read_at.is_some() {
            return Ok(Json(row.into()));
        }
        let mut change = row.into_active_model();
        change.read_at = Set(Some(Timestamp::now()));
        let row = change.update(&tx).await?;
        let event = new_event("notification.read", &Notification::from(row.clone()))?;
        family::commit(&gateway, tx, &topic(id.0), vec![event]).await?;
        Ok(Json(row.into()))
    }

    /// Watch one's notifications
    ///
    /// A stream of server-sent events: a `snapshot`, then `notification` and `notification.*`. Every
    /// event has an `id`, a cursor to resume from. Needs the role viewer; 403 for those of another
    /// user.
    #[oai(path = "/:id/notifications/stream", method = "get", operation_id = "notification_stream")]
    async fn stream(
        &self,
        caller: StreamCaller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The user's id.
        id: Path<Uuid>,
        parameters: Parameters,
    ) -> Result<StreamResponse> {
        family::open(&gateway, caller, topic(id.0), parameters).await
    }

    /// Read the events of one's notifications
    ///
    /// The same events as in the stream, page by page, for clients that cannot stream. Needs the
    /// role viewer; 403 for those of another user.
    #[oai(path = "/:id/notifications/events", method = "get", operation_id = "notification_events")]
    async fn events(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The user's id.
        id: Path<Uuid>,
        /// Only events after this cursor; all that are kept if absent.
        after: Query<Option<String>>,
        /// How many at most.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> Result<Events> {
        family::events(&gateway, &caller.principal, &topic(id.0), after.0, limit.0).await
    }
}

#[async_trait]
impl Resources for Notifications {
    fn events(&self) -> &'static [EventKind] {
        &EVENTS
    }

    fn authorize(&self, principal: &Principal, id: Uuid) -> crate::family::Result<()> {
        // Whether there is such a user is not told either.
        if principal.user_id == id {
            return Ok(());
        }
        Err(crate::family::FamilyError::Forbidden("notifications are for their user alone"))
    }

    async fn look_up(
        &self,
        gateway: &Gateway,
        id: Uuid,
    ) -> std::result::Result<Option<Resource>, DbErr> {
        if user::Entity::find_by_id(id).one(gateway.database.reader()).await?.is_none() {
            return Ok(None);
        }
        // Users are made without it, as they know nothing of streams.
        let log = gateway.hub.log();
        if log.positions(&[topic(id)]).await?.is_empty() {
            let tx = gateway.database.begin_write().await?;
            log.create(&tx, &topic(id)).await?;
            tx.commit().await?;
        }
        Ok(Some(Resource::of(id)))
    }

    async fn state(
        &self,
        tx: &Transaction,
        id: Uuid,
        reset: Option<String>,
    ) -> std::result::Result<Option<State>, DbErr> {
        let unread = unread_of(id).count(tx).await?;
        let newest = unread_of(id).order_by_desc(notification::Column::Id).limit(NEWEST);
        let newest = newest.all(tx).await?;
        let notifications = newest.into_iter().map(Notification::from).collect();
        let snapshot = NotificationSnapshot { unread, notifications, reset };
        Ok(Some(State::new(&snapshot, false)))
    }

    /// Deletes notifications that are older than events are kept, and says so of unread ones; and the
    /// logs of users who are gone.
    async fn sweep(
        &self,
        gateway: &Arc<Gateway>,
        retention: Retention,
    ) -> crate::family::Result<()> {
        forget_all(gateway).await?;
        let cutoff = retention.cutoff(&gateway.clock.read());
        let is_old = || notification::Column::CreatedAt.lt(cutoff);
        loop {
            let oldest = notification::Entity::find().filter(is_old());
            let oldest = oldest.order_by_asc(notification::Column::CreatedAt);
            let Some(oldest) = oldest.one(gateway.database.reader()).await? else { return Ok(()) };
            let user = oldest.user_id;
            let tx = gateway.database.begin_write().await?;
            let old = all_of(user).filter(is_old()).order_by_asc(notification::Column::Id);
            let old = old.limit(ROWS_PER_DELETE).lock_exclusive().all(&tx).await?;
            let unread = old.iter().filter(|row| row.read_at.is_none());
            let unread: Vec<Uuid> = unread.map(|row| row.id).collect();
            notification::Entity::delete_many()
                .filter(notification::Column::Id.is_in(old.iter().map(|row| row.id)))
                .exec(&tx)
                .await?;
            let mut events = Vec::new();
            if !unread.is_empty() {
                events.push(new_event("notification.expired", &NotificationsExpired { unread })?);
            }
            family::commit(gateway, tx, &topic(user), events).await?;
        }
    }
}

fn all_of(user: Uuid) -> Select<notification::Entity> {
    notification::Entity::find().filter(notification::Column::UserId.eq(user))
}

fn unread_of(user: Uuid) -> Select<notification::Entity> {
    all_of(user).filter(notification::Column::ReadAt.is_null())
}

/// Deletes the event logs of users who have been deleted; the notifications went with the users.
pub(super) async fn forget(gateway: &Gateway, users: &[Uuid]) -> Result<()> {
    let topics: Vec<Topic> = users.iter().copied().map(topic).collect();
    let tx = gateway.database.begin_write().await?;
    gateway.hub.log().remove(&tx, &topics).await?;
    tx.commit().await?;
    for topic in &topics {
        gateway.visibility.invalidate(topic);
    }
    Ok(())
}

/// Does so for all of whom it has not been done, or whose log somebody has made again meanwhile.
async fn forget_all(gateway: &Gateway) -> Result<()> {
    let mut after = None;
    loop {
        // All there are, a page at a time: nothing is written after the end of time.
        let (log, end) = (gateway.hub.log(), Timestamp(i64::MAX));
        let topics = log.silent(Family::Notification, end, after.as_ref()).await?;
        let mut gone: Vec<Uuid> = topics.iter().map(Topic::id).collect();
        let users: Vec<Uuid> = user::Entity::find()
            .filter(user::Column::Id.is_in(gone.iter().copied()))
            .select_only()
            .column(user::Column::Id)
            .into_tuple()
            .all(gateway.database.reader())
            .await?;
        gone.retain(|id| !users.contains(id));
        if !gone.is_empty() {
            forget(gateway, &gone).await?;
        }
        match topics.into_iter().last() {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

/// The topic of a user's notifications.
fn topic(user: Uuid) -> Topic {
    Topic::new(Family::Notification, user)
}
