//! Topologies over HTTP.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};
use uuid::Uuid;

use super::{
    caller::{Caller, Operator, Viewer},
    json::Json,
    problem::{ChangeResult, ReadResult},
    responses::Created,
    tag::Tag,
};
use crate::{
    family::{
        topology::{self, NewStatus, NewTopology, Topology, TopologyStatus, Transition},
        wire::Page,
    },
    gateway::Gateway,
};

/// The operations.
pub(super) struct TopologiesApi;

#[OpenApi(prefix_path = "/v1/topologies", tag = "Tag::Topology")]
impl TopologiesApi {
    /// Create a topology
    ///
    /// The new topology has the status `pending`. Requires the role operator. 409 if another topology has the name.
    #[oai(path = "/", method = "post", operation_id = "topology_create")]
    async fn create(
        &self,
        _caller: Caller<Operator>,
        gateway: Data<&Arc<Gateway>>,
        body: Json<NewTopology>,
    ) -> ChangeResult<Created<Topology>> {
        Ok(Created::Created(Json(topology::create(&gateway, body.0).await?)))
    }

    /// List topologies
    ///
    /// Returns all topologies, oldest first. Requires the role viewer.
    #[oai(path = "/", method = "get", operation_id = "topology_list")]
    async fn list(
        &self,
        _caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Return only topologies with this status.
        status: Query<Option<TopologyStatus>>,
        /// Return only topologies after the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of topologies to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<Topology>>> {
        Ok(Json(topology::list(&gateway, status.0, (after.0, limit.0)).await?))
    }

    /// Get a topology
    ///
    /// Requires the role viewer.
    #[oai(path = "/:id", method = "get", operation_id = "topology_get")]
    async fn get(
        &self,
        _caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Topology id.
        id: Path<Uuid>,
    ) -> ReadResult<Json<Topology>> {
        Ok(Json(topology::get(&gateway, id.0).await?))
    }

    /// Update topology status
    ///
    /// Changes the status and adds a transition to the audit trail. `torn_down` fails every unfinished mutation
    /// and ends the topology's streams. Requires the role operator.
    ///
    /// 409 if the change is not allowed. The allowed changes are:
    ///
    /// | from | to |
    /// |---|---|
    /// | `pending` | `deploying`, `torn_down` |
    /// | `deploying` | `active`, `failed`, `degraded`, `tearing_down` |
    /// | `active` | `degraded`, `tearing_down` |
    /// | `degraded` | `active`, `tearing_down` |
    /// | `failed` | `tearing_down` |
    /// | `tearing_down` | `torn_down`, `degraded` |
    #[oai(path = "/:id/status", method = "post", operation_id = "topology_update")]
    async fn update_status(
        &self,
        caller: Caller<Operator>,
        gateway: Data<&Arc<Gateway>>,
        /// Topology id.
        id: Path<Uuid>,
        body: Json<NewStatus>,
    ) -> ChangeResult<Json<Topology>> {
        Ok(Json(topology::update_status(&gateway, &caller.principal, id.0, body.0).await?))
    }

    /// List topology transitions
    ///
    /// Returns the audit trail of a topology, oldest first: the same objects as in `status` events. Requires
    /// the role viewer.
    #[oai(path = "/:id/transitions", method = "get", operation_id = "transition_list")]
    async fn list_transitions(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Topology id.
        id: Path<Uuid>,
        /// Return only transitions after the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of transitions to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<Transition>>> {
        let page = (after.0, limit.0);
        let list = topology::list_transitions(&gateway, &caller.principal, id.0, page);
        Ok(Json(list.await?))
    }
}
