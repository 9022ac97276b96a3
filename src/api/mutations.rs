//! Mutations of topologies over HTTP.

use std::{sync::Arc, time::Duration};

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};
use uuid::Uuid;

use super::{
    caller::{Agent, Caller, Operator, Viewer},
    json::Json,
    middleware::RequestInfo,
    problem::{ChangeResult, ReadResult, WriteResult},
    tag::Tag,
};
use crate::{
    family::{
        topology::mutation::{
            self, ClaimMutations, ClaimedMutation, Mutation, MutationReport, MutationState,
            NewMutation,
        },
        wire::Page,
    },
    gateway::Gateway,
};

#[derive(ApiResponse)]
enum Enqueued {
    /// The mutation was enqueued.
    #[oai(status = 202)]
    Accepted(Json<Mutation>),
}

/// The operations.
pub(super) struct MutationsApi;

#[OpenApi(prefix_path = "/v1/topologies", tag = "Tag::Topology")]
impl MutationsApi {
    /// Create a mutation
    ///
    /// Enqueues a mutation for workers to claim. Requires the role operator. 409 if the topology is neither `active`
    /// nor `degraded`, if its version is not `expected_version`, or if it has 200 unfinished mutations.
    #[oai(path = "/:id/mutations", method = "post", operation_id = "mutation_create")]
    async fn create(
        &self,
        _caller: Caller<Operator>,
        gateway: Data<&Arc<Gateway>>,
        /// Topology id.
        id: Path<Uuid>,
        body: Json<NewMutation>,
    ) -> ChangeResult<Enqueued> {
        Ok(Enqueued::Accepted(Json(mutation::create(&gateway, id.0, body.0).await?)))
    }

    /// List mutations
    ///
    /// Returns the mutations of a topology, oldest first. Requires the role viewer.
    #[oai(path = "/:id/mutations", method = "get", operation_id = "mutation_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Topology id.
        id: Path<Uuid>,
        /// Return only mutations with this state.
        state: Query<Option<MutationState>>,
        /// Return only mutations after the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of mutations to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<Mutation>>> {
        let page = (after.0, limit.0);
        Ok(Json(mutation::list(&gateway, &caller.principal, id.0, state.0, page).await?))
    }

    /// Claim mutations
    ///
    /// Claims the oldest pending mutations of a topology, all under one lease. If there is none, waits up to
    /// `wait_seconds` for one, then returns an empty list. While the topology is neither `active` nor `degraded`,
    /// nothing can be claimed. Requires the role agent.
    #[oai(path = "/:id/mutations/claim", method = "post", operation_id = "mutation_claim")]
    async fn claim(
        &self,
        caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        /// Topology id.
        id: Path<Uuid>,
        body: Json<ClaimMutations>,
    ) -> WriteResult<Json<Vec<ClaimedMutation>>> {
        let gone = request.client_gone(Duration::from_secs(body.wait_seconds.unwrap_or(0)));
        let claimed = mutation::claim(&gateway, &caller.principal, id.0, &body, gone);
        Ok(Json(claimed.await?))
    }

    /// Report a mutation
    ///
    /// Reports the outcome of a claimed mutation. If the report is sent again, it gets the same response. Requires the
    /// role agent. 409 if the lease has expired or is not the newest of the mutation. 409 also if the mutation has
    /// already ended with another outcome.
    #[oai(
        path = "/:id/mutations/:mutation_id/report",
        method = "post",
        operation_id = "mutation_report"
    )]
    async fn report(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// Topology id.
        id: Path<Uuid>,
        /// Mutation id.
        mutation_id: Path<Uuid>,
        body: Json<MutationReport>,
    ) -> ChangeResult<Json<Mutation>> {
        Ok(Json(mutation::report(&gateway, id.0, mutation_id.0, body.0).await?))
    }
}
