//! Open streams. Users list and close their own streams, and administrators those of all users.

use std::sync::Arc;

use entity::{Timestamp, user::Role};
use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    caller::{Caller, Viewer},
    json::Json,
    problem::{Problem, ReadResult, WriteResult},
    responses::NoContent,
    tag::Tag,
};
use crate::{
    auth::login_session::{Families, Principal},
    event::Topic,
    family::wire::{Page, example_id, example_time, page_limit},
    gateway::Gateway,
    hub::OpenConnection,
};

/// An open stream.
#[derive(Object)]
#[oai(example)]
struct Connection {
    /// Connection id. Equal to the `X-Request-Id` of the stream's response.
    id: Uuid,
    /// Id of the user that opened the stream.
    user_id: Uuid,
    /// Topics of the stream, each as `<family>.<id>`. Topics that were closed with `topic.closed` are left out.
    topics: Vec<String>,
    /// Time at which the stream was opened, UTC.
    since: OffsetDateTime,
    /// IP address of the client. If the client connects through a proxy that is not in `server.trusted_proxies`, the
    /// address of the proxy.
    address: String,
    /// Number of events written to the network for the stream, snapshots included.
    delivered: u64,
    /// Number of events that are not yet written, of all topics together. Counts only events that this gateway knows.
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

impl From<OpenConnection> for Connection {
    fn from(open: OpenConnection) -> Self {
        let OpenConnection { id, user, topics, address, delivered, lag } = open;
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

/// The time of the request with this id. The id is a UUIDv7, which contains the time (RFC 9562, section 5.7).
fn since(request: Uuid) -> Timestamp {
    let (seconds, nanos) = request.get_timestamp().map_or((0, 0), |time| time.to_unix());
    let micros = i64::try_from(seconds).unwrap_or_default() * 1_000_000;
    Timestamp(micros + i64::from(nanos / 1_000))
}

/// The user whose connections the caller may see. `None` stands for all users.
fn visible_to(principal: &Principal) -> Option<Uuid> {
    if principal.role >= Role::Admin { None } else { Some(principal.user_id) }
}

/// Whether the credential of the caller is for all families of these topics. An API key can be for some families only.
fn covers(principal: &Principal, topics: &[Topic]) -> bool {
    topics.iter().all(|topic| principal.families.contains(topic.family()))
}

/// The operations.
pub(super) struct ConnectionsApi;

#[OpenApi(prefix_path = "/v1/connections", tag = "Tag::Connection")]
impl ConnectionsApi {
    /// List open streams
    ///
    /// Returns the caller's streams on this gateway, oldest first. An administrator gets the streams of all users. An API
    /// key for some families gets the streams of these families. Requires the role viewer.
    #[oai(path = "/", method = "get", operation_id = "connection_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Return only streams after the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of streams to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<Connection>>> {
        let mut open = gateway.hub.connections(visible_to(&caller.principal));
        open.retain(|connected| {
            after.0.is_none_or(|after| connected.id > after)
                && covers(&caller.principal, &connected.topics)
        });
        Ok(Json(Page::new(open, page_limit(limit.0), |connected| (connected.id, 0))))
    }

    /// Close an open stream
    ///
    /// Ends a stream of the caller on this gateway with `stream.closed` and the reason `disconnected`. The client can
    /// reconnect with a valid token, and not with an expired stream token. An administrator can close the streams of all
    /// users. Requires the role viewer. 404 for streams of other users, and of families that the API key is not for.
    #[oai(path = "/:id", method = "delete", operation_id = "connection_delete")]
    async fn delete(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Connection id.
        id: Path<Uuid>,
    ) -> WriteResult<NoContent> {
        let Caller { principal, .. } = caller;
        let visible = visible_to(&principal);
        if principal.families != Families::ALL {
            let open = gateway.hub.connections(visible);
            if !open.iter().any(|open| open.id == id.0 && covers(&principal, &open.topics)) {
                return Err(Problem::not_found().into());
            }
        }
        // Read first, because the end of the connection removes it.
        let token = gateway.stream_tokens.token_of(id.0);
        if !gateway.hub.disconnect(id.0, visible) {
            return Err(Problem::not_found().into());
        }
        if let Some(token) = token {
            gateway.stream_tokens.delete(token).await?;
        }
        Ok(NoContent::NoContent)
    }
}
