//! Open streams, seen and ended by those to whom they belong, or by administrators.

use std::sync::Arc;

use entity::{Timestamp, user::Role};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
    types::Example,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    caller::{Caller, Viewer},
    problem::{Problem, Result},
    tag::Tag,
};
use crate::{
    auth::login_session::Principal,
    event::Topic,
    family::wire::{Page, example_id, example_time, page_limit},
    gateway::Gateway,
    hub::Connected,
};

/// A stream that is open.
#[derive(Object)]
#[oai(example)]
struct Connection {
    /// Its id: the `X-Request-Id` of the answer that it is.
    id: Uuid,
    /// Who opened it.
    user_id: Uuid,
    /// What it is about, each as `<family>.<id>`: one topic, or those of a stream of many that have
    /// not left it.
    topics: Vec<String>,
    /// When it was opened.
    since: OffsetDateTime,
    /// The address that it goes to: the client's, if it connects to this gateway or comes through a
    /// proxy in `server.trusted_proxies`; else that of the proxy.
    address: String,
    /// How many events have been handed to the network for it, snapshots included.
    delivered: u64,
    /// How many events it has yet to be given, as far as this gateway knows; all topics together.
    lag: u64,
}

impl Example for Connection {
    fn example() -> Self {
        Self {
            id: example_id(),
            user_id: example_id(),
            topics: vec![format!("topology.{}", example_id())],
            since: example_time(),
            address: "203.0.113.7".to_owned(),
            delivered: 42,
            lag: 0,
        }
    }
}

impl From<Connected> for Connection {
    fn from(connected: Connected) -> Self {
        let Connected { id, user, topics, address, delivered, lag } = connected;
        Self {
            id,
            user_id: user,
            topics: topics.iter().map(Topic::to_string).collect(),
            since: since(id).datetime(),
            address: address.to_string(),
            delivered,
            lag,
        }
    }
}

/// When the request with this id came: it is made of the time (RFC 9562, section 5.7).
fn since(request: Uuid) -> Timestamp {
    let (seconds, nanos) = request.get_timestamp().map_or((0, 0), |time| time.to_unix());
    let micros = i64::try_from(seconds).unwrap_or_default() * 1_000_000;
    Timestamp(micros + i64::from(nanos / 1_000))
}

/// Whose connections a caller may see: everybody's, or its own.
fn visible_to(principal: &Principal) -> Option<Uuid> {
    if principal.role >= Role::Admin { None } else { Some(principal.user_id) }
}

#[derive(ApiResponse)]
enum Done {
    /// It is done.
    #[oai(status = 204)]
    Done,
}

/// The operations.
pub(super) struct ConnectionsApi;

#[OpenApi(prefix_path = "/v1/connections", tag = "Tag::Connection")]
impl ConnectionsApi {
    /// List open streams
    ///
    /// Oldest first: those on this gateway, of the caller or, for an admin, of everybody. Needs the
    /// role viewer.
    #[oai(path = "/", method = "get", operation_id = "connection_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Only those after the one with this id: `next` of the page before.
        after: Query<Option<Uuid>>,
        /// How many at most.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> Result<Json<Page<Connection>>> {
        let mut open = gateway.hub.connections(visible_to(&caller.principal));
        open.retain(|connected| after.0.is_none_or(|after| connected.id > after));
        Ok(Json(Page::new(open, page_limit(limit.0), |connected| (connected.id, 0))))
    }

    /// End an open stream
    ///
    /// With `stream.closed` for the reason `disconnected`; nothing keeps its client from coming back.
    /// One of the caller's or, for an admin, anybody's, on this gateway. Needs the role viewer.
    #[oai(path = "/:id", method = "delete", operation_id = "connection_delete")]
    async fn delete(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The connection's id.
        id: Path<Uuid>,
    ) -> Result<Done> {
        if gateway.hub.disconnect(id.0, visible_to(&caller.principal)) {
            Ok(Done::Done)
        } else {
            Err(Problem::not_found())
        }
    }
}
