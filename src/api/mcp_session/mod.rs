//! MCP sessions: JSON-RPC messages between a user's client and an agent, in the order in which they
//! were published.

mod end;
mod message;
mod schema;

use std::sync::Arc;

use async_trait::async_trait;
use entity::{mcp_session, user};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, DbErr, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::{
    Page, Tag,
    caller::{Caller, StreamCaller, Viewer},
    event_page::Events,
    family::{self, Resources, State, new_event},
    page_limit,
    problem::{Problem, Result},
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
use message::Message;
use schema::{
    ClosedBecause, McpSession, McpSessionClosed, McpSessionSnapshot, NewMcpSession,
    PublishedMessage,
};

/// Bytes of a message as JSON: what goes to every subscriber in one piece.
const MAX_MESSAGE: usize = 262_144;

const EVENTS: [EventKind; 3] = [
    EventKind {
        kind: "snapshot",
        description: "The present state: first, unless a cursor could be resumed from.",
        schema: crate::family::schema::<McpSessionSnapshot>,
    },
    EventKind {
        kind: "message",
        description: "A JSON-RPC message, as it was published. One's own come back, too.",
        schema: crate::family::schema::<Message>,
    },
    EventKind {
        kind: "closed",
        description: "The session was closed. The stream ends.",
        schema: crate::family::schema::<McpSessionClosed>,
    },
];

#[derive(ApiResponse)]
enum Created {
    /// The session was made.
    #[oai(status = 201)]
    Created(Json<McpSession>),
}

#[derive(ApiResponse)]
enum Published {
    /// The message is in the log, and on its way.
    #[oai(status = 202)]
    Accepted(Json<PublishedMessage>),
}

#[derive(ApiResponse)]
enum Closed {
    /// The session is closed.
    #[oai(status = 204)]
    Closed,
}

/// The operations.
pub(crate) struct McpSessions;

#[OpenApi(prefix_path = "/v1/mcp-sessions", tag = "Tag::McpSession")]
impl McpSessions {
    /// Make an MCP session
    ///
    /// It belongs to the caller. Needs the role viewer; 404 if there is no such agent.
    #[oai(path = "/", method = "post", operation_id = "mcp_session_create")]
    async fn create(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        body: Json<NewMcpSession>,
    ) -> Result<Created> {
        let owner = caller.principal.user_id;
        let began = gateway.visibility.start_lookup();
        let tx = gateway.database.begin_write().await?;
        if let Some(agent) = body.0.agent {
            let agent = user::Entity::find_by_id(agent).one(&tx).await?;
            if agent.is_none_or(|agent| agent.role < user::Role::Agent) {
                return Err(Problem::not_found());
            }
        }
        let row = mcp_session::Model {
            id: Uuid::now_v7(),
            owner_id: owner,
            agent_id: body.0.agent,
            name: body.0.name.map(|name| name.0),
            created_at: gateway.clock.now(),
            closed_at: None,
        };
        let row = row.into_active_model().insert(&tx).await?;
        gateway.hub.log().create(&tx, &topic(row.id)).await?;
        gateway.hub.commit(tx, Vec::new()).await?;
        gateway.visibility.insert(topic(row.id), resource(&row), began);
        Ok(Created::Created(Json(row.into())))
    }

    /// List MCP sessions
    ///
    /// One's own and those that one serves; all of them for an administrator. Oldest first. Needs the
    /// role viewer.
    #[oai(path = "/", method = "get", operation_id = "mcp_session_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Only those after the one with this id: `next` of the page before.
        after: Query<Option<Uuid>>,
        /// How many at most.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> Result<Json<Page<McpSession>>> {
        let limit = page_limit(limit.0);
        let mut query = mcp_session::Entity::find()
            .filter(mcp_session::Column::Id.gt(after.0.unwrap_or(Uuid::nil())))
            .order_by_asc(mcp_session::Column::Id)
            .limit(limit + 1);
        let Principal { user_id, role, .. } = caller.principal;
        if role < user::Role::Admin {
            let mut seen = Condition::any().add(mcp_session::Column::OwnerId.eq(user_id));
            if role >= user::Role::Agent {
                seen = seen.add(mcp_session::Column::AgentId.eq(user_id));
            }
            query = query.filter(seen);
        }
        let rows = query.all(gateway.database.reader()).await?;
        Ok(Json(Page::new(rows, limit, |row| (row.id, 0))))
    }

    /// Read an MCP session
    ///
    /// For its owner, its agent and administrators. Needs the role viewer.
    #[oai(path = "/:id", method = "get", operation_id = "mcp_session_read")]
    async fn read(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
        id: Path<Uuid>,
    ) -> Result<Json<McpSession>> {
        family::exists(&gateway, &caller.principal, &topic(id.0)).await?;
        let row = mcp_session::Entity::find_by_id(id.0).one(gateway.database.reader()).await?;
        Ok(Json(row.ok_or_else(Problem::not_found)?.into()))
    }

    /// Close an MCP session
    ///
    /// Its streams end. It can still be read until it is old enough to be deleted. Once more changes
    /// nothing. For its owner and administrators. Needs the role viewer.
    #[oai(path = "/:id", method = "delete", operation_id = "mcp_session_delete")]
    async fn close(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
        id: Path<Uuid>,
    ) -> Result<Closed> {
        let resource = family::exists(&gateway, &caller.principal, &topic(id.0)).await?;
        let Principal { user_id, role, .. } = caller.principal;
        if !(Resource { agent: None, ..resource }).is_seen_by(user_id, role) {
            return Err(Problem::not_found());
        }
        let tx = gateway.database.begin_write().await?;
        if let Some(row) = end::lock_open(&tx, id.0).await? {
            let events = end::close(&gateway, &tx, row, ClosedBecause::Deleted).await?;
            gateway.hub.commit(tx, events).await?;
        }
        Ok(Closed::Closed)
    }

    /// Publish a message
    ///
    /// One JSON-RPC message of at most 262,144 bytes, which everybody who watches gets as it is. For
    /// the session's owner, its agent and administrators; for any agent if none was named. Answered
    /// once it is committed. Needs the role viewer; 409 if the session is closed.
    #[oai(path = "/:id/messages", method = "post", operation_id = "mcp_session_publish")]
    async fn publish(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
        id: Path<Uuid>,
        body: Json<Message>,
    ) -> Result<Published> {
        may_publish(&gateway, &caller.principal, id.0).await?;
        let event = new_event("message", &body.0)?;
        if event.data.len() > MAX_MESSAGE {
            let detail = format!("the message: more than {MAX_MESSAGE} bytes as JSON");
            return Err(Problem::bad_request(detail));
        }
        let events = gateway.hub.publish(topic(id.0), vec![event]).await?;
        let cursor = events.last().map(|event| event.cursor.to_string()).unwrap_or_default();
        Ok(Published::Accepted(Json(PublishedMessage { cursor })))
    }

    /// Watch an MCP session
    ///
    /// A stream of server-sent events: a `snapshot`, then `message`. Every event has an `id`, a cursor
    /// to resume from. Ends when the session is closed. For its owner, its agent and administrators.
    /// Needs the role viewer.
    #[oai(path = "/:id/stream", method = "get", operation_id = "mcp_session_stream")]
    async fn stream(
        &self,
        caller: StreamCaller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
        id: Path<Uuid>,
        parameters: Parameters,
    ) -> Result<StreamResponse> {
        family::open(&gateway, caller, topic(id.0), parameters).await
    }

    /// Read an MCP session's events
    ///
    /// The same events as in the stream, page by page, for clients that cannot stream. Needs the role
    /// viewer.
    #[oai(path = "/:id/events", method = "get", operation_id = "mcp_session_events")]
    async fn events(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
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

/// Whether this caller may publish, or 404: who may see it, and any agent if none was named.
async fn may_publish(gateway: &Gateway, principal: &Principal, id: Uuid) -> Result<()> {
    let Err(problem) = family::exists(gateway, principal, &topic(id)).await else { return Ok(()) };
    if principal.role < user::Role::Agent {
        return Err(problem.into());
    }
    match McpSessions.look_up(gateway, id).await? {
        Some(Resource { agent: None, .. }) => Ok(()),
        _ => Err(problem.into()),
    }
}

#[async_trait]
impl Resources for McpSessions {
    fn events(&self) -> &'static [EventKind] {
        &EVENTS
    }

    async fn look_up(
        &self,
        gateway: &Gateway,
        id: Uuid,
    ) -> std::result::Result<Option<Resource>, DbErr> {
        let row = mcp_session::Entity::find_by_id(id).one(gateway.database.reader()).await?;
        Ok(row.as_ref().map(resource))
    }

    async fn state(
        &self,
        tx: &Transaction,
        id: Uuid,
        reset: Option<String>,
    ) -> std::result::Result<Option<State>, DbErr> {
        let Some(row) = mcp_session::Entity::find_by_id(id).one(tx).await? else { return Ok(None) };
        let terminal = row.closed_at.is_some();
        Ok(Some(State::new(&McpSessionSnapshot { session: row.into(), reset }, terminal)))
    }

    async fn delete(&self, tx: &Transaction, ids: &[Uuid]) -> std::result::Result<bool, DbErr> {
        mcp_session::Entity::delete_many()
            .filter(mcp_session::Column::Id.is_in(ids.iter().copied()))
            .exec(tx)
            .await?;
        Ok(true)
    }

    async fn cancel_orphans(&self, gateway: &Arc<Gateway>) -> crate::family::Result<()> {
        Ok(end::close_orphans(gateway).await?)
    }

    async fn sweep(&self, gateway: &Arc<Gateway>, _: Retention) -> crate::family::Result<()> {
        Ok(end::close_all_idle(gateway).await?)
    }
}

fn resource(row: &mcp_session::Model) -> Resource {
    Resource { agent: row.agent_id, ..Resource::of(row.owner_id) }
}

/// The topic of a session.
fn topic(id: Uuid) -> Topic {
    Topic::new(Family::McpSession, id)
}
