//! The operations of workers on tasks.

use std::{sync::Arc, time::Duration};

use poem::web::Data;
use poem_openapi::{OpenApi, param::Path};
use uuid::Uuid;

use crate::{
    api::{
        caller::{Agent, Caller},
        json::Json,
        middleware::RequestInfo,
        problem::{ChangeResult, WriteResult},
        tag::Tag,
    },
    family::task::{self, ClaimTasks, ClaimedTask, RenewedTaskLease, Task, TaskLease, TaskReport},
    gateway::Gateway,
};

/// The operations.
pub(in crate::api) struct WorkersApi;

#[OpenApi(prefix_path = "/v1/tasks", tag = "Tag::Task")]
impl WorkersApi {
    /// Claim tasks
    ///
    /// Claims the oldest pending tasks whose type is one of `skills`, each under a lease. If there is none, waits up to
    /// `wait_seconds` for one, then returns an empty list. Requires the role agent.
    #[oai(path = "/claim", method = "post", operation_id = "task_claim")]
    async fn claim(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        body: Json<ClaimTasks>,
    ) -> WriteResult<Json<Vec<ClaimedTask>>> {
        let gone = request.client_gone(Duration::from_secs(body.wait_seconds.unwrap_or(0)));
        Ok(Json(task::claim(&gateway, &body, gone).await?))
    }

    /// Renew a task lease
    ///
    /// Renews the lease for its full duration. The response says whether cancellation was requested. Requires the role
    /// agent. 409 if the lease has expired or is not the newest of the task, or if the task has ended.
    #[oai(path = "/:id/heartbeat", method = "post", operation_id = "task_renew")]
    async fn renew(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// Task id.
        id: Path<Uuid>,
        body: Json<TaskLease>,
    ) -> ChangeResult<Json<RenewedTaskLease>> {
        Ok(Json(task::renew(&gateway, id.0, &body).await?))
    }

    /// Report a task
    ///
    /// Reports that a task continues, a chunk of an artifact, or the end of the task. A report also renews the lease.
    ///
    /// The worker numbers the reports of each attempt with `seq`. A report that is sent again changes nothing, and its
    /// response is the task, even after the end. A report that skips a number gets 409 with the expected number in
    /// `expected_seq`.
    ///
    /// A task has at most 1,000 artifacts, with 1 MiB in total.
    ///
    /// Requires the role agent. 409 in these cases:
    ///
    /// - The lease has expired or is not the newest of the task.
    /// - The task has ended, and the report was not sent before.
    /// - The report skips a number.
    /// - The report says `cancelled`, and cancellation was not requested.
    /// - The chunk cannot be appended, or exceeds the limits of the artifacts.
    #[oai(path = "/:id/report", method = "post", operation_id = "task_report")]
    async fn report(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// Task id.
        id: Path<Uuid>,
        body: Json<TaskReport>,
    ) -> ChangeResult<Json<Task>> {
        Ok(Json(task::report(&gateway, id.0, body.0).await?))
    }

    /// Release a task
    ///
    /// Makes a claimed task pending again, or cancelled if cancellation was requested. The release does not count as a
    /// failed attempt. Requires the role agent. 409 if the lease has expired or is not the newest of the task, or
    /// if the task has ended.
    #[oai(path = "/:id/release", method = "post", operation_id = "task_release")]
    async fn release(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// Task id.
        id: Path<Uuid>,
        body: Json<TaskLease>,
    ) -> ChangeResult<Json<Task>> {
        Ok(Json(task::release(&gateway, id.0, &body).await?))
    }
}
