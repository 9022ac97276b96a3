//! The operations of users on their tasks.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};
use uuid::Uuid;

use crate::{
    api::{
        caller::{Caller, Viewer},
        json::Json,
        problem::{ChangeResult, ReadResult},
        responses::Created,
        tag::Tag,
    },
    family::{
        task::{self, NewTask, Task, TaskFilter, TaskStatus},
        wire::Page,
    },
    gateway::Gateway,
};

/// 200 with a task and its cursor.
#[derive(ApiResponse)]
enum TaskWithCursor {
    /// The task.
    #[oai(status = 200)]
    Ok(
        Json<Task>,
        /// Cursor of the newest event that this state includes, opaque.
        #[oai(header = "Last-Event-ID")]
        String,
    ),
}

/// The operations.
pub(in crate::api) struct TasksApi;

#[OpenApi(prefix_path = "/v1/tasks", tag = "Tag::Task")]
impl TasksApi {
    /// Create a task
    ///
    /// Queues a task for workers to claim. The task belongs to the caller. Requires the role viewer. 409 if the caller
    /// has 1,000 unfinished tasks.
    #[oai(path = "/", method = "post", operation_id = "task_create")]
    async fn create(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        body: Json<NewTask>,
    ) -> ChangeResult<Created<Task>> {
        Ok(Created::Created(Json(task::create(&gateway, &caller.principal, body.0).await?)))
    }

    /// List tasks
    ///
    /// Returns the caller's tasks, oldest first and without artifacts. An administrator gets the tasks of all
    /// users. Requires the role viewer.
    #[oai(path = "/", method = "get", operation_id = "task_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Return only tasks with this status.
        status: Query<Option<TaskStatus>>,
        /// Return only tasks of this type.
        #[oai(validator(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9_.:-]+$"))]
        task_type: Query<Option<String>>,
        /// Return only tasks after the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of tasks to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<Task>>> {
        let filter = TaskFilter { status: status.0, task_type: task_type.0 };
        let page = (after.0, limit.0);
        Ok(Json(task::list(&gateway, &caller.principal, filter, page).await?))
    }

    /// Get a task
    ///
    /// Returns a task with its artifacts. The header `Last-Event-ID` of the response is a cursor: a stream that opens
    /// after it continues from this state. Requires the role viewer. 404 for tasks of other users, unless the caller is
    /// an administrator.
    #[oai(path = "/:id", method = "get", operation_id = "task_get")]
    async fn get(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Task id.
        id: Path<Uuid>,
    ) -> ReadResult<TaskWithCursor> {
        let (task, cursor) = task::get(&gateway, &caller.principal, id.0).await?;
        Ok(TaskWithCursor::Ok(Json(task), cursor.to_string()))
    }

    /// Cancel a task
    ///
    /// A pending task is cancelled at once. For a running task, the next renewal tells the worker to report
    /// `cancelled`. Without this report, the gateway cancels the task when the lease or the grace time ends, and
    /// refuses later reports. The grace time is `tasks.cancel_grace_seconds` of the configuration.
    ///
    /// A second cancellation changes nothing. Requires the role viewer. 404 for tasks of other users, unless the caller
    /// is an administrator. 409 if the task completed or failed.
    #[oai(path = "/:id/cancel", method = "post", operation_id = "task_cancel")]
    async fn cancel(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Task id.
        id: Path<Uuid>,
    ) -> ChangeResult<Json<Task>> {
        Ok(Json(task::cancel(&gateway, &caller.principal, id.0).await?))
    }
}
