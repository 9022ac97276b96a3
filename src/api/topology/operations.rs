//! The operations on topologies.

use std::sync::Arc;

use entity::{Timestamp, topology, topology_transition};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, SqlErr,
};
use uuid::Uuid;

use super::{
    find, lock, may_become, mutation,
    schema::{NewStatus, NewTopology, Topology, TopologyStatus, Transition},
    topic,
};
use crate::{
    api::{
        Page, Tag,
        caller::{Caller, Operator, StreamCaller, Viewer},
        event_page::Events,
        family::{self, new_event},
        page_limit,
        problem::{Problem, Result},
        stored,
        stream::{Parameters, StreamResponse},
    },
    event::Family,
    gateway::Gateway,
    visibility::Resource,
};

#[derive(ApiResponse)]
enum Created {
    /// The topology was made.
    #[oai(status = 201)]
    Created(Json<Topology>),
}

/// The operations.
pub(crate) struct Topologies;

#[OpenApi(prefix_path = "/v1/topologies", tag = "Tag::Topology")]
impl Topologies {
    /// Make a topology
    ///
    /// Its status is `pending`. Needs the role operator.
    #[oai(path = "/", method = "post", operation_id = "topology_create")]
    async fn create(
        &self,
        _caller: Caller<Operator>,
        gateway: Data<&Arc<Gateway>>,
        body: Json<NewTopology>,
    ) -> Result<Created> {
        let config = stored::object("config", body.0.config.unwrap_or_default())?;
        let began = gateway.visibility.start_lookup();
        let tx = gateway.database.begin_write().await?;
        let now = Timestamp::now();
        let row = topology::Model {
            // Within the transaction, so that lists that are read page by page miss as little as
            // ids made of the time can.
            id: Uuid::now_v7(),
            name: body.0.name.0,
            mode: body.0.mode.map_or_else(|| "standard".to_owned(), |mode| mode.0),
            config,
            status: topology::Status::Pending,
            status_changed_at: now,
            version: 1,
            created_at: now,
        };
        let row =
            row.into_active_model().insert(&tx).await.map_err(|error| match error.sql_err() {
                Some(SqlErr::UniqueConstraintViolation(_)) => {
                    Problem::conflict("there is a topology of this name already")
                }
                _ => error.into(),
            })?;
        gateway.hub.log().create(&tx, &topic(row.id)).await?;
        gateway.hub.commit(tx, Vec::new()).await?;
        gateway.visibility.insert(topic(row.id), Resource::PUBLIC, began);
        Ok(Created::Created(Json(row.into())))
    }

    /// List topologies
    ///
    /// Oldest first. Needs the role viewer.
    #[oai(path = "/", method = "get", operation_id = "topology_list")]
    async fn list(
        &self,
        _caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Only those of this status.
        status: Query<Option<TopologyStatus>>,
        /// Only those after the one with this id: `next` of the page before.
        after: Query<Option<Uuid>>,
        /// How many at most.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> Result<Json<Page<Topology>>> {
        let limit = page_limit(limit.0);
        let mut query = topology::Entity::find()
            .filter(topology::Column::Id.gt(after.0.unwrap_or(Uuid::nil())))
            .order_by_asc(topology::Column::Id)
            .limit(limit + 1);
        if let Some(status) = status.0 {
            query = query.filter(topology::Column::Status.eq(topology::Status::from(status)));
        }
        let rows = query.all(gateway.database.reader()).await?;
        Ok(Json(Page::new(rows, limit, |row| (row.id, row.config.as_str().len()))))
    }

    /// Read a topology
    ///
    /// Needs the role viewer.
    #[oai(path = "/:id", method = "get", operation_id = "topology_read")]
    async fn read(
        &self,
        _caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The topology's id.
        id: Path<Uuid>,
    ) -> Result<Json<Topology>> {
        Ok(Json(find(&gateway, id.0).await?.into()))
    }

    /// Change a topology's status
    ///
    /// Leaves a row in the audit trail. On `torn_down` every mutation that is not done fails, and
    /// the topology's streams end. Needs the role operator; 409 if the status does not follow the
    /// present one: pending to deploying or torn_down; deploying to active, failed, degraded or
    /// tearing_down; active to degraded or tearing_down; degraded to active or tearing_down; failed
    /// to tearing_down; tearing_down to torn_down or degraded.
    #[oai(path = "/:id/status", method = "post", operation_id = "topology_change_status")]
    async fn change_status(
        &self,
        caller: Caller<Operator>,
        gateway: Data<&Arc<Gateway>>,
        /// The topology's id.
        id: Path<Uuid>,
        body: Json<NewStatus>,
    ) -> Result<Json<Topology>> {
        let tx = gateway.database.begin_write().await?;
        let row = lock(&tx, id.0).await?;
        let (from, to) = (row.status, body.0.status.into());
        if !may_become(from, to) {
            return Err(Problem::conflict(format!(
                "a topology that is {} cannot become {}",
                TopologyStatus::from(from),
                body.0.status
            )));
        }
        let now = Timestamp::now();
        let transition = topology_transition::Model {
            id: Uuid::now_v7(),
            topology_id: row.id,
            from_status: from,
            to_status: to,
            at: now,
            reason: body.0.reason.map(|reason| reason.0),
            user_id: caller.principal.user_id,
        };
        transition.clone().into_active_model().insert(&tx).await?;
        let version = row.version + 1;
        let mut change = row.into_active_model();
        change.status = Set(to);
        change.status_changed_at = Set(now);
        change.version = Set(version);
        let row = change.update(&tx).await?;
        let terminal = to == topology::Status::TornDown;
        let mut events = Vec::new();
        if terminal {
            events.extend(mutation::fail_all(&tx, row.id, "the topology was torn down").await?);
        }
        let status = new_event("status", &Transition::from(transition))?;
        events.push(if terminal { status.terminal() } else { status });
        family::commit(&gateway, tx, &topic(row.id), events).await?;
        // Its mutations may be claimed now.
        gateway.notify_workers(Family::Topology);
        Ok(Json(row.into()))
    }

    /// List a topology's changes of status
    ///
    /// The audit trail, oldest first; the same objects that `status` events carry. Needs the role
    /// viewer.
    #[oai(path = "/:id/transitions", method = "get", operation_id = "topology_transitions")]
    async fn transitions(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The topology's id.
        id: Path<Uuid>,
        /// Only those after the one with this id: `next` of the page before.
        after: Query<Option<Uuid>>,
        /// How many at most.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> Result<Json<Page<Transition>>> {
        family::exists(&gateway, &caller.principal, &topic(id.0)).await?;
        let limit = page_limit(limit.0);
        let rows = topology_transition::Entity::find()
            .filter(topology_transition::Column::TopologyId.eq(id.0))
            .filter(topology_transition::Column::Id.gt(after.0.unwrap_or(Uuid::nil())))
            .order_by_asc(topology_transition::Column::Id)
            .limit(limit + 1)
            .all(gateway.database.reader())
            .await?;
        Ok(Json(Page::new(rows, limit, |row| (row.id, 0))))
    }

    /// Watch a topology
    ///
    /// A stream of server-sent events: a `snapshot`, then `status` and `mutation.*`. Every event
    /// has an `id`, a cursor to resume from. Ends after `torn_down`. Needs the role viewer.
    #[oai(path = "/:id/stream", method = "get", operation_id = "topology_stream")]
    async fn stream(
        &self,
        caller: StreamCaller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The topology's id.
        id: Path<Uuid>,
        parameters: Parameters,
    ) -> Result<StreamResponse> {
        family::open(&gateway, caller, topic(id.0), parameters).await
    }

    /// Read a topology's events
    ///
    /// The same events as in the stream, page by page, for clients that cannot stream. Needs the
    /// role viewer.
    #[oai(path = "/:id/events", method = "get", operation_id = "topology_events")]
    async fn events(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The topology's id.
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
