//! The operations of those who have tasks done.

use std::{sync::Arc, time::Duration};

use entity::{
    Timestamp, task,
    user::{self, Role},
};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, sea_query::LockType,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    artifact::Artifacts,
    lease,
    rows::{event, lock, turn, whole, with},
    schema::{NewTask, Task, TaskStatus},
    topic,
};
use crate::{
    api::{
        Page, Tag,
        caller::{Caller, StreamCaller, Viewer},
        event_page::Events,
        family, page_limit,
        problem::{Problem, Result},
        stored,
        stream::{Parameters, StreamResponse},
    },
    database::Transaction,
    event::Family,
    gateway::Gateway,
    visibility::Resource,
};

/// Bytes of an input as JSON. Lists and claims hold many of them.
const MAX_INPUT: usize = 16_384;

/// Tasks of one owner that have not ended.
const MAX_UNFINISHED: u64 = 1_000;

/// Leases that may run out if the owner does not say.
const DEFAULT_MAX_ATTEMPTS: i32 = 3;

#[derive(ApiResponse)]
enum Created {
    /// The task waits for a worker.
    #[oai(status = 201)]
    Created(Json<Task>),
}

/// The operations.
pub(crate) struct Tasks;

#[OpenApi(prefix_path = "/v1/tasks", tag = "Tag::Task")]
impl Tasks {
    /// Make a task
    ///
    /// It is yours and waits for a worker. Needs the role viewer. 409 if 1,000 of your tasks have not
    /// ended yet.
    #[oai(path = "/", method = "post", operation_id = "task_create")]
    async fn create(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        body: Json<NewTask>,
    ) -> Result<Created> {
        let NewTask { task_type, input, max_attempts } = body.0;
        let input = input.map(|input| stored::value("input", &input.0, MAX_INPUT)).transpose()?;
        let owner = caller.principal.user_id;
        let began = gateway.visibility.start_lookup();
        let tx = gateway.database.begin_write().await?;
        check_room(&tx, owner).await?;
        let now = Timestamp::now();
        let row = task::Model {
            id: Uuid::now_v7(),
            owner,
            task_type: task_type.0,
            input,
            output: None,
            error: None,
            status: task::Status::Pending,
            attempt: 0,
            max_attempts: max_attempts.unwrap_or(DEFAULT_MAX_ATTEMPTS),
            lapses: 0,
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
        gateway.visibility.insert(topic(row.id), Resource::of(owner), began);
        gateway.notify_workers(Family::Task);
        Ok(Created::Created(Json(Task { artifacts: Some(Vec::new()), ..row.into() })))
    }

    /// List tasks
    ///
    /// Your own, or everybody's with the role admin, oldest first and without their artifacts. Needs
    /// the role viewer.
    #[oai(path = "/", method = "get", operation_id = "task_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Only those of this status.
        status: Query<Option<TaskStatus>>,
        /// Only those of this type.
        #[oai(validator(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9_.:-]+$"))]
        task_type: Query<Option<String>>,
        /// Only those after the one with this id: `next` of the page before.
        after: Query<Option<Uuid>>,
        /// How many at most.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> Result<Json<Page<Task>>> {
        let limit = page_limit(limit.0);
        let mut query = task::Entity::find()
            .filter(task::Column::Id.gt(after.0.unwrap_or(Uuid::nil())))
            .order_by_asc(task::Column::Id)
            .limit(limit + 1);
        if caller.principal.role < Role::Admin {
            query = query.filter(task::Column::Owner.eq(caller.principal.user_id));
        }
        if let Some(status) = status.0 {
            query = query.filter(task::Column::Status.eq(task::Status::from(status)));
        }
        if let Some(task_type) = task_type.0 {
            query = query.filter(task::Column::TaskType.eq(task_type));
        }
        let rows = query.all(gateway.database.reader()).await?;
        let bytes = |row: &task::Model| {
            [&row.input, &row.output].into_iter().flatten().map(|json| json.as_str().len()).sum()
        };
        Ok(Json(Page::new(rows, limit, |row| (row.id, bytes(row)))))
    }

    /// Read a task
    ///
    /// With its artifacts. Needs the role viewer; 404 if it is somebody else's, unless with the role
    /// admin.
    #[oai(path = "/:id", method = "get", operation_id = "task_read")]
    async fn read(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The task's id.
        id: Path<Uuid>,
    ) -> Result<Json<Task>> {
        family::exists(&gateway, &caller.principal, &topic(id.0)).await?;
        let tx = gateway.database.begin_read().await?;
        let row = task::Entity::find_by_id(id.0).one(&tx).await?.ok_or_else(Problem::not_found)?;
        let task = whole(&tx, row).await?;
        tx.rollback().await?;
        Ok(Json(task))
    }

    /// Cancel a task
    ///
    /// One that waits for a worker is cancelled at once. One that a worker holds is cancelled by the
    /// worker, who is told with the next heartbeat; when the grace time is over
    /// (`tasks.cancel_grace_seconds` of the configuration), or the worker's lease, it is cancelled
    /// anyway, and what the worker reports from then on is refused. Cancelling again changes nothing.
    /// Needs the role viewer; 404 if the task is somebody else's, unless with the role admin; 409 if
    /// it has completed or failed.
    #[oai(path = "/:id/cancel", method = "post", operation_id = "task_cancel")]
    async fn cancel(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The task's id.
        id: Path<Uuid>,
    ) -> Result<Json<Task>> {
        family::exists(&gateway, &caller.principal, &topic(id.0)).await?;
        let tx = gateway.database.begin_write().await?;
        let row = lock(&tx, id.0).await?;
        let artifacts = Artifacts::of(&tx, id.0).await?;
        if row.status == task::Status::Cancelled
            || row.status == task::Status::Running && row.cancel_by.is_some()
        {
            return Ok(Json(with(row, &artifacts)));
        }
        let (now, clock) = (Timestamp::now(), gateway.clock.read());
        let grace = Duration::from_secs(gateway.config.tasks.cancel_grace_seconds);
        let left = lease::left(&row, &clock).map(|left| left.min(grace));
        let by = clock.after(grace);
        let mut change = match left {
            None => turn(row, task::Status::Cancelled, now)?,
            Some(left) => {
                let mut change = row.into_active_model();
                change.updated_at = Set(now);
                // The end of the lease is the end of the grace time: see `lease.rs`.
                change.lease_expires_at = Set(Some(clock.after(left).at));
                change
            }
        };
        change.cancel_by = Set(Some(by.at));
        change.lease_clock = Set(by.clock);
        let row = change.update(&tx).await?;
        family::commit(&gateway, tx, &topic(id.0), vec![event(&row)?]).await?;
        if let Some(left) = left {
            gateway.work_queue(Family::Task).next_lease_end.set(Instant::now() + left);
        }
        Ok(Json(with(row, &artifacts)))
    }

    /// Watch a task
    ///
    /// A stream of server-sent events: a `snapshot` of the whole task with its artifacts, then
    /// `task.status` and `task.artifact`. Every event has an `id`, a cursor to resume from. A new
    /// attempt keeps the artifacts of earlier ones unless it begins them anew. Ends when the task has
    /// ended. Needs the role viewer; 404 if the task is somebody else's, unless with the role admin.
    #[oai(path = "/:id/stream", method = "get", operation_id = "task_stream")]
    async fn stream(
        &self,
        caller: StreamCaller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The task's id.
        id: Path<Uuid>,
        parameters: Parameters,
    ) -> Result<StreamResponse> {
        family::open(&gateway, caller, topic(id.0), parameters).await
    }

    /// Read a task's events
    ///
    /// The same events as in the stream, page by page, for clients that cannot stream. Needs the
    /// role viewer; 404 if the task is somebody else's, unless with the role admin.
    #[oai(path = "/:id/events", method = "get", operation_id = "task_events")]
    async fn events(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The task's id.
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

/// 409 if this owner has as many tasks as may wait. Locks the owner's row, so that of two tasks made
/// at the same time only one is the last that fits.
async fn check_room(tx: &Transaction, owner: Uuid) -> Result<()> {
    user::Entity::find_by_id(owner).lock(LockType::NoKeyUpdate).one(tx).await?;
    let unfinished = task::Entity::find()
        .filter(task::Column::Owner.eq(owner))
        .filter(task::Column::Status.is_in([task::Status::Pending, task::Status::Running]));
    if unfinished.count(tx).await? >= MAX_UNFINISHED {
        return Err(Problem::conflict("1,000 tasks of this owner have not ended yet"));
    }
    Ok(())
}
