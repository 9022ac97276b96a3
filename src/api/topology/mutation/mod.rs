//! Mutations: changes of a topology, enqueued by operators, claimed and reported by mutators.
//!
//! A claim is a lease: it runs out, and then the mutation is pending again. The lease token fences
//! (as in Kleppmann's "How to do distributed locking"): only the newest claim may report, so two
//! workers never both believe that a mutation is theirs, and a worker that comes back from the dead
//! is refused.

mod rows;
mod schema;

use std::{sync::Arc, time::Duration};

use entity::{Timestamp, mutation, topology};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{lock, topic};
use crate::{
    api::{
        Page, Tag,
        caller::{Agent, Caller, Operator, Viewer},
        family, page_limit,
        problem::{Problem, Result},
        request_info::RequestInfo,
        stored,
    },
    clock::Deadline,
    event::Family,
    family::queue::claim_or_wait,
    gateway::Gateway,
};

pub(in crate::api) use rows::requeue_expired;
pub(super) use rows::{fail_all, in_flight};
pub(super) use schema::Mutation;

use rows::{claimable, event, requeue, unfinished};
use schema::{Claim, Claimed, MutationState, NewMutation, Report};

/// Mutations of one topology that are not done. They are part of every snapshot, which therefore
/// stays below some megabytes.
const MAX_IN_FLIGHT: u64 = 200;

/// How long a claim holds if the mutator does not say.
const DEFAULT_LEASE_SECONDS: u64 = 60;

#[derive(ApiResponse)]
enum Enqueued {
    /// The mutation waits for a mutator.
    #[oai(status = 202)]
    Accepted(Json<Mutation>),
}

/// The operations.
pub(in crate::api) struct Mutations;

#[OpenApi(prefix_path = "/v1/topologies", tag = "Tag::Topology")]
impl Mutations {
    /// Enqueue a mutation
    ///
    /// Needs the role operator. 409 if the topology is neither active nor degraded, if its version
    /// is not the expected one, or if 200 mutations are not done yet.
    #[oai(path = "/:id/mutations", method = "post", operation_id = "mutation_create")]
    async fn create(
        &self,
        _caller: Caller<Operator>,
        gateway: Data<&Arc<Gateway>>,
        /// The topology's id.
        id: Path<Uuid>,
        body: Json<NewMutation>,
    ) -> Result<Enqueued> {
        let NewMutation { op, payload, expected_version } = body.0;
        let payload = stored::object("payload", payload)?;
        let tx = gateway.database.begin_write().await?;
        let topology = lock(&tx, id.0).await?;
        if !takes_mutations(&topology) {
            return Err(Problem::conflict("the topology is neither active nor degraded"));
        }
        if expected_version.is_some_and(|version| version != topology.version) {
            return Err(Problem::conflict(format!(
                "the topology's version is {}",
                topology.version
            )));
        }
        if unfinished(id.0).count(&tx).await? >= MAX_IN_FLIGHT {
            return Err(Problem::conflict("200 mutations of this topology are not done yet"));
        }
        let version = topology.version + 1;
        let mut topology = topology.into_active_model();
        topology.version = Set(version);
        topology.update(&tx).await?;
        let row = mutation::Model {
            id: Uuid::now_v7(),
            topology_id: id.0,
            op: op.into(),
            payload,
            state: mutation::State::Pending,
            requested_at: Timestamp::now(),
            applied_at: None,
            reason: None,
            attempt: 0,
            lease_token: None,
            lease_expires_at: None,
            lease_clock: None,
        };
        let row = row.into_active_model().insert(&tx).await?;
        family::commit(&gateway, tx, &topic(id.0), vec![event(&row)?]).await?;
        gateway.notify_workers(Family::Topology);
        Ok(Enqueued::Accepted(Json(row.into())))
    }

    /// List mutations
    ///
    /// Oldest first. Needs the role viewer.
    #[oai(path = "/:id/mutations", method = "get", operation_id = "mutation_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The topology's id.
        id: Path<Uuid>,
        /// Only those in this state.
        state: Query<Option<MutationState>>,
        /// Only those after the one with this id: `next` of the page before.
        after: Query<Option<Uuid>>,
        /// How many at most.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> Result<Json<Page<Mutation>>> {
        family::exists(&gateway, &caller.principal, &topic(id.0)).await?;
        let limit = page_limit(limit.0);
        let mut query = mutation::Entity::find()
            .filter(mutation::Column::TopologyId.eq(id.0))
            .filter(mutation::Column::Id.gt(after.0.unwrap_or(Uuid::nil())))
            .order_by_asc(mutation::Column::Id)
            .limit(limit + 1);
        if let Some(state) = state.0 {
            query = query.filter(mutation::Column::State.eq(mutation::State::from(state)));
        }
        let rows = query.all(gateway.database.reader()).await?;
        Ok(Json(Page::new(rows, limit, |row| (row.id, row.payload.as_str().len()))))
    }

    /// Claim mutations
    ///
    /// Takes the oldest pending ones under a lease, or waits for one. Nothing is handed out while the topology is
    /// neither active nor degraded. Needs the role agent.
    #[oai(path = "/:id/mutations/claim", method = "post", operation_id = "mutation_claim")]
    async fn claim(
        &self,
        caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        /// The topology's id.
        id: Path<Uuid>,
        body: Json<Claim>,
    ) -> Result<Json<Vec<Claimed>>> {
        family::exists(&gateway, &caller.principal, &topic(id.0)).await?;
        let wait = Duration::from_secs(body.wait_seconds.unwrap_or(0));
        let body = Arc::new(body.0);
        let claim = || claim(Arc::clone(&gateway), id.0, Arc::clone(&body));
        let claimed =
            claim_or_wait(&gateway, Family::Topology, wait, request.client_gone(wait), claim)
                .await?;
        Ok(Json(claimed))
    }

    /// Report how a mutation ended
    ///
    /// Needs the role agent. 409 if the lease is not the mutation's newest, has run out, or the
    /// mutation has ended otherwise. The same report sent again is answered like the first.
    #[oai(
        path = "/:id/mutations/:mutation_id/report",
        method = "post",
        operation_id = "mutation_report"
    )]
    async fn report(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// The topology's id.
        id: Path<Uuid>,
        /// The mutation's id.
        mutation_id: Path<Uuid>,
        body: Json<Report>,
    ) -> Result<Json<Mutation>> {
        let tx = gateway.database.begin_write().await?;
        lock(&tx, id.0).await?;
        let row = mutation::Entity::find_by_id(mutation_id.0)
            .filter(mutation::Column::TopologyId.eq(id.0))
            .one(&tx)
            .await?
            .ok_or_else(Problem::not_found)?;
        let now = Timestamp::now();
        let state = body.0.state.into();
        if row.lease_token != Some(body.0.lease_token) {
            return Err(Problem::conflict("this lease is not the newest of this mutation"));
        }
        if row.state == state {
            return Ok(Json(row.into()));
        }
        if row.state != mutation::State::Applying {
            return Err(Problem::conflict("the mutation has ended otherwise"));
        }
        let clock = gateway.clock.read();
        let end = row.lease_expires_at.map(|at| Deadline { at, clock: row.lease_clock });
        if end.is_none_or(|end| clock.left(end).is_zero()) {
            return Err(Problem::conflict("the lease has run out"));
        }
        let mut end = row.into_active_model();
        end.state = Set(state);
        end.reason = Set(body.0.reason.map(|reason| reason.0));
        end.applied_at = Set((state == mutation::State::Applied).then_some(now));
        end.lease_expires_at = Set(None);
        let row = end.update(&tx).await?;
        family::commit(&gateway, tx, &topic(id.0), vec![event(&row)?]).await?;
        Ok(Json(row.into()))
    }
}

/// Claims what there is, up to as many as are asked for.
async fn claim(
    gateway: Arc<Gateway>,
    id: Uuid,
    wanted: Arc<Claim>,
) -> crate::family::Result<Vec<Claimed>> {
    if claimable(&gateway, id).count(gateway.database.reader()).await? == 0 {
        // Workers ask all the time; most of the time nobody has to be kept from writing for it.
        return Ok(Vec::new());
    }
    let tx = gateway.database.begin_write().await?;
    let topology = lock(&tx, id).await?;
    let mut events = requeue(&gateway, &tx, id).await?;
    let rows = if takes_mutations(&topology) {
        mutation::Entity::find()
            .filter(mutation::Column::TopologyId.eq(id))
            .filter(mutation::Column::State.eq(mutation::State::Pending))
            .order_by_asc(mutation::Column::Id)
            .limit(wanted.max.unwrap_or(1))
            .all(&tx)
            .await?
    } else {
        Vec::new()
    };
    let lease = Duration::from_secs(wanted.lease_seconds.unwrap_or(DEFAULT_LEASE_SECONDS));
    let (lease_token, until) = (Uuid::new_v4(), gateway.clock.read().after(lease));
    let end = Instant::now() + lease;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in rows {
        let attempt = row.attempt + 1;
        let mut claim = row.into_active_model();
        claim.state = Set(mutation::State::Applying);
        claim.attempt = Set(attempt);
        claim.lease_token = Set(Some(lease_token));
        claim.lease_expires_at = Set(Some(until.at));
        claim.lease_clock = Set(until.clock);
        let row = claim.update(&tx).await?;
        events.push(event(&row)?);
        claimed.push(Claimed {
            mutation: row.into(),
            attempt,
            lease_token,
            lease_expires_at: until.at.datetime(),
        });
    }
    family::commit(&gateway, tx, &topic(id), events).await?;
    if !claimed.is_empty() {
        gateway.work_queue(Family::Topology).next_lease_end.set(end);
    }
    Ok(claimed)
}

fn takes_mutations(topology: &topology::Model) -> bool {
    matches!(topology.status, topology::Status::Active | topology::Status::Degraded)
}
