//! Mutations: changes of a topology, enqueued by operators, claimed and reported by mutators.
//!
//! A claim is a lease: it runs out, and then the mutation is pending again. The lease token fences
//! (as in Kleppmann's "How to do distributed locking"): only the newest claim may report, so two
//! workers never both believe that a mutation is theirs, and a worker that comes back from the dead
//! is refused.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use entity::{Timestamp, mutation, topology};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
    types::Example,
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DatabaseTransaction, DbErr, EntityTrait,
    IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Caller, NewEvent, Operator, Page, Problem, Result, Tag, Viewer, example_id, example_object,
    example_time, find, lock, mirror, new_event, object, page_limit, topic,
};
use crate::{api::caller::Agent, gateway::Gateway};

/// Mutations of one topology that are not done. They are part of every snapshot, which therefore
/// stays below some megabytes.
const MAX_IN_FLIGHT: u64 = 200;

/// Bytes of one payload, as JSON.
const MAX_PAYLOAD: usize = 65_536;

/// How long a claim holds if the mutator does not say.
const DEFAULT_LEASE_SECONDS: u64 = 60;

mirror! {
    /// What is to be done.
    MutationOp <=> mutation::Op {
        AddLan, RemoveLan, AddNode, AttachNode, DetachNode, RemoveNode, UpdateNode, UpdateLan
    }
}

mirror! {
    /// How far a mutation has come.
    MutationState <=> mutation::State { Pending, Applying, Applied, Failed }
}

impl MutationState {
    fn event(state: mutation::State) -> &'static str {
        match state {
            mutation::State::Pending => "mutation.enqueued",
            mutation::State::Applying => "mutation.applying",
            mutation::State::Applied => "mutation.applied",
            mutation::State::Failed => "mutation.failed",
        }
    }
}

/// A mutation to be enqueued.
#[derive(Object)]
#[oai(example)]
struct NewMutation {
    /// What is to be done.
    op: MutationOp,
    /// With what; at most 65,536 bytes as JSON.
    #[oai(default)]
    payload: BTreeMap<String, Value>,
    /// The topology's version that this builds on; another one is a 409.
    expected_version: Option<i64>,
}

impl Example for NewMutation {
    fn example() -> Self {
        Self {
            op: MutationOp::AddNode,
            payload: example_object("node", 4),
            expected_version: Some(3),
        }
    }
}

/// A mutation; also the data of `mutation.*` events.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(super) struct Mutation {
    /// Its id.
    id: Uuid,
    /// The topology to change.
    topology_id: Uuid,
    /// What is to be done.
    op: MutationOp,
    /// With what.
    payload: BTreeMap<String, Value>,
    /// How far it has come.
    state: MutationState,
    /// When it was enqueued.
    requested_at: OffsetDateTime,
    /// When it was applied.
    applied_at: Option<OffsetDateTime>,
    /// Why it failed.
    reason: Option<String>,
    /// How often it was claimed.
    attempt: i32,
}

impl From<mutation::Model> for Mutation {
    fn from(row: mutation::Model) -> Self {
        Self {
            id: row.id,
            topology_id: row.topology_id,
            op: row.op.into(),
            payload: object(row.payload),
            state: row.state.into(),
            requested_at: row.requested_at.datetime(),
            applied_at: row.applied_at.map(Timestamp::datetime),
            reason: row.reason,
            attempt: row.attempt,
        }
    }
}

impl Example for Mutation {
    fn example() -> Self {
        Self {
            id: example_id(),
            topology_id: example_id(),
            op: MutationOp::AddNode,
            payload: example_object("node", 4),
            state: MutationState::Pending,
            requested_at: example_time(),
            applied_at: None,
            reason: None,
            attempt: 0,
        }
    }
}

/// What a mutator asks for.
#[derive(Object)]
#[oai(example)]
struct Claim {
    /// How long the claim is to hold; 60 if absent.
    #[oai(validator(minimum(value = "1"), maximum(value = "3600")))]
    lease_seconds: Option<u64>,
    /// How many at most; 1 if absent.
    #[oai(validator(minimum(value = "1"), maximum(value = "50")))]
    max: Option<u64>,
}

impl Example for Claim {
    fn example() -> Self {
        Self { lease_seconds: Some(60), max: Some(1) }
    }
}

/// A mutation under a lease.
#[derive(Object)]
#[oai(example)]
struct Claimed {
    /// The mutation.
    mutation: Mutation,
    /// How often it has been claimed, this time included.
    attempt: i32,
    /// Shows in the report that this claim is still the newest.
    lease_token: Uuid,
    /// Until when the claim holds. After that the mutation is pending again.
    lease_expires_at: OffsetDateTime,
}

impl Example for Claimed {
    fn example() -> Self {
        Self {
            mutation: Mutation {
                state: MutationState::Applying,
                attempt: 1,
                ..Mutation::example()
            },
            attempt: 1,
            lease_token: example_id(),
            lease_expires_at: example_time(),
        }
    }
}

mirror! {
    /// How a mutation ended.
    Outcome = mutation::State { Applied, Failed }
}

/// How a claimed mutation ended.
#[derive(Object)]
#[oai(example)]
struct Report {
    /// The token of the claim.
    lease_token: Uuid,
    /// How it ended.
    state: Outcome,
    /// Why it failed.
    #[oai(validator(max_length = 1000, pattern = r"^[^\x00]*$"))]
    reason: Option<String>,
}

impl Example for Report {
    fn example() -> Self {
        Self { lease_token: example_id(), state: Outcome::Applied, reason: None }
    }
}

#[derive(ApiResponse)]
enum Enqueued {
    /// The mutation waits for a mutator.
    #[oai(status = 202)]
    Accepted(Json<Mutation>),
}

#[derive(ApiResponse)]
enum Claims {
    /// These are yours until their leases run out.
    #[oai(status = 200)]
    Some(Json<Vec<Claimed>>),
    /// There is nothing to do.
    #[oai(status = 204)]
    None,
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
        let payload: Value = payload.into_iter().collect();
        if payload.to_string().len() > MAX_PAYLOAD {
            return Err(Problem::bad_request("payload: more than 65,536 bytes as JSON"));
        }
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
        };
        let row = row.into_active_model().insert(&tx).await?;
        finish(&gateway, tx, id.0, vec![event(&row)?]).await?;
        Ok(Enqueued::Accepted(Json(row.into())))
    }

    /// List mutations
    ///
    /// Oldest first. Needs the role viewer.
    #[oai(path = "/:id/mutations", method = "get", operation_id = "mutation_list")]
    async fn list(
        &self,
        _caller: Caller<Viewer>,
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
        find(&gateway, id.0).await?;
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
        Ok(Json(Page::of(rows, limit, |row| row.id)))
    }

    /// Claim mutations
    ///
    /// Takes the oldest pending ones under a lease. Nothing is handed out while the topology is
    /// neither active nor degraded. Needs the role agent.
    #[oai(path = "/:id/mutations/claim", method = "post", operation_id = "mutation_claim")]
    async fn claim(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// The topology's id.
        id: Path<Uuid>,
        body: Json<Claim>,
    ) -> Result<Claims> {
        let tx = gateway.database.begin_write().await?;
        let topology = lock(&tx, id.0).await?;
        let mut events = requeue(&tx, id.0).await?;
        let rows = if takes_mutations(&topology) {
            mutation::Entity::find()
                .filter(mutation::Column::TopologyId.eq(id.0))
                .filter(mutation::Column::State.eq(mutation::State::Pending))
                .order_by_asc(mutation::Column::Id)
                .limit(body.max.unwrap_or(1))
                .all(&tx)
                .await?
        } else {
            Vec::new()
        };
        let lease = Duration::from_secs(body.lease_seconds.unwrap_or(DEFAULT_LEASE_SECONDS));
        let (lease_token, expires_at) = (Uuid::new_v4(), Timestamp::now() + lease);
        let mut claimed = Vec::with_capacity(rows.len());
        for row in rows {
            let attempt = row.attempt + 1;
            let mut claim = row.into_active_model();
            claim.state = Set(mutation::State::Applying);
            claim.attempt = Set(attempt);
            claim.lease_token = Set(Some(lease_token));
            claim.lease_expires_at = Set(Some(expires_at));
            let row = claim.update(&tx).await?;
            events.push(event(&row)?);
            claimed.push(Claimed {
                mutation: row.into(),
                attempt,
                lease_token,
                lease_expires_at: expires_at.datetime(),
            });
        }
        finish(&gateway, tx, id.0, events).await?;
        Ok(if claimed.is_empty() { Claims::None } else { Claims::Some(Json(claimed)) })
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
        if row.lease_expires_at.is_none_or(|until| until <= now) {
            return Err(Problem::conflict("the lease has run out"));
        }
        let mut end = row.into_active_model();
        end.state = Set(state);
        end.reason = Set(body.0.reason);
        end.applied_at = Set((state == mutation::State::Applied).then_some(now));
        end.lease_expires_at = Set(None);
        let row = end.update(&tx).await?;
        finish(&gateway, tx, id.0, vec![event(&row)?]).await?;
        Ok(Json(row.into()))
    }
}

/// Background work: makes mutations pending again whose leases have run out, on all topologies.
pub(in crate::api) async fn requeue_expired(gateway: Arc<Gateway>) {
    let expired = mutation::Entity::find()
        .filter(mutation::Column::State.eq(mutation::State::Applying))
        .filter(mutation::Column::LeaseExpiresAt.lte(Timestamp::now()))
        .select_only()
        .column(mutation::Column::TopologyId)
        .distinct()
        .into_tuple::<Uuid>()
        .all(gateway.database.reader())
        .await;
    let topologies = match expired {
        Ok(topologies) => topologies,
        Err(error) => return tracing::warn!(%error, "cannot look for leases that have run out"),
    };
    for id in topologies {
        let requeued = async {
            let tx = gateway.database.begin_write().await?;
            lock(&tx, id).await?;
            let events = requeue(&tx, id).await?;
            finish(&gateway, tx, id, events).await
        };
        if let Err(problem) = requeued.await {
            tracing::warn!(cause = problem.cause(), topology = %id, "cannot requeue mutations");
        }
    }
}

/// Mutations of a topology that are neither applied nor failed.
fn unfinished(topology: Uuid) -> sea_orm::Select<mutation::Entity> {
    let states = [mutation::State::Pending, mutation::State::Applying];
    mutation::Entity::find()
        .filter(mutation::Column::TopologyId.eq(topology))
        .filter(mutation::Column::State.is_in(states))
        .order_by_asc(mutation::Column::Id)
}

/// The same as rows, for a snapshot.
pub(super) async fn in_flight(
    tx: &DatabaseTransaction,
    topology: Uuid,
) -> std::result::Result<Vec<mutation::Model>, DbErr> {
    unfinished(topology).all(tx).await
}

/// Ends all of them without success.
pub(super) async fn fail_all(
    tx: &DatabaseTransaction,
    topology: Uuid,
    reason: &str,
) -> Result<Vec<NewEvent>> {
    let mut events = Vec::new();
    for row in in_flight(tx, topology).await? {
        let mut end = row.into_active_model();
        end.state = Set(mutation::State::Failed);
        end.reason = Set(Some(reason.to_owned()));
        end.lease_token = Set(None);
        end.lease_expires_at = Set(None);
        events.push(event(&end.update(tx).await?)?);
    }
    Ok(events)
}

/// Makes mutations of a locked topology pending again whose leases have run out.
async fn requeue(tx: &DatabaseTransaction, topology: Uuid) -> Result<Vec<NewEvent>> {
    let expired = unfinished(topology)
        .filter(mutation::Column::State.eq(mutation::State::Applying))
        .filter(mutation::Column::LeaseExpiresAt.lte(Timestamp::now()))
        .all(tx)
        .await?;
    let mut events = Vec::with_capacity(expired.len());
    for row in expired {
        let mut back = row.into_active_model();
        back.state = Set(mutation::State::Pending);
        back.lease_token = Set(None);
        back.lease_expires_at = Set(None);
        events.push(event(&back.update(tx).await?)?);
    }
    Ok(events)
}

/// Writes the events of a change and commits both.
async fn finish(
    gateway: &Gateway,
    tx: DatabaseTransaction,
    topology: Uuid,
    events: Vec<NewEvent>,
) -> Result<()> {
    let events = match events.is_empty() {
        true => Vec::new(),
        false => gateway.hub.log().append(&tx, &topic(topology), events).await?,
    };
    Ok(gateway.hub.commit(tx, events).await?)
}

fn event(row: &mutation::Model) -> Result<NewEvent> {
    new_event(MutationState::event(row.state), &Mutation::from(row.clone()))
}

fn takes_mutations(topology: &topology::Model) -> bool {
    matches!(topology.status, topology::Status::Active | topology::Status::Degraded)
}
