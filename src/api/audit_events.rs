//! The audit log. Operations record security events, and administrators list them.

use std::sync::Arc;

use entity::audit_event;
use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Query, types::Example};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    caller::{Admin, Caller},
    json::Json,
    middleware::RequestInfo,
    problem::{Problem, ReadResult},
    tag::Tag,
};
use crate::{
    audit::{AuditEvent as NewEvent, AuditFilter, AuditKind},
    auth::login_session::Principal,
    family::wire::{AnyObject, Page, example_id, example_time, page_limit},
    gateway::Gateway,
};

/// A security event.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
struct AuditEvent {
    /// Event id.
    id: Uuid,
    /// Time of the event, UTC.
    at: OffsetDateTime,
    /// Kind of the event: `login.succeeded`, `login.failed`, `login.ended`, `refresh.reused`, `user.created`,
    /// `user.deleted`, `user.role_changed`, `user.password_changed`, `user.disabled`, `user.enabled`,
    /// `user.sessions_revoked`, `api_key.created`, `api_key.rotated`, `api_key.deleted`, `api_key.new_address`,
    /// `oauth.linked`, `oauth.revoked`, `oauth.token_issued`, `tunnel.shared`, `tunnel.unshared`, `tunnel.policy_changed`
    /// or `tool.called`. Further kinds can follow.
    kind: String,
    /// Id of the user that the event is about. For `tool.called`, the owner of the tunnel. Absent if a login was for a name
    /// that no user has. The user may have been deleted since.
    user_id: Option<Uuid>,
    /// Id of the user that caused the event. Absent if the caller is not known.
    actor_id: Option<Uuid>,
    /// Id of the caller's login session. For an API key, the id of the key. Absent without a session.
    session_id: Option<Uuid>,
    /// IP address of the client. Absent if the event has none.
    address: Option<String>,
    /// Further values, which depend on the kind. Never a secret.
    data: AnyObject,
}

impl From<audit_event::Model> for AuditEvent {
    fn from(row: audit_event::Model) -> Self {
        Self {
            id: row.id,
            at: row.at.datetime(),
            kind: row.kind,
            user_id: row.user_id,
            actor_id: row.actor_id,
            session_id: row.session_id,
            address: row.address,
            data: AnyObject(row.data),
        }
    }
}

impl Example for AuditEvent {
    fn example() -> Self {
        Self {
            id: example_id(),
            at: example_time(),
            kind: AuditKind::RoleChanged.name().to_owned(),
            user_id: Some(example_id()),
            actor_id: Some(example_id()),
            session_id: Some(example_id()),
            address: Some("203.0.113.7".to_owned()),
            data: AnyObject(json!({ "from": "viewer", "to": "operator" }).to_string().into()),
        }
    }
}

/// The operations.
pub(super) struct AuditEventsApi;

#[OpenApi(prefix_path = "/v1/audit-events", tag = "Tag::Audit")]
impl AuditEventsApi {
    /// List security events
    ///
    /// Returns security events of all gateways, newest first: logins, refused logins, changes of users, of credentials
    /// and of shared tunnels, and calls of tools through tunnels. Events are kept for `retention.audit_seconds` of the
    /// configuration. The log has the same events, with the target `streamgate::security`. Requires the role admin.
    #[oai(path = "/", method = "get", operation_id = "audit_event_list")]
    async fn list(
        &self,
        _caller: Caller<Admin>,
        gateway: Data<&Arc<Gateway>>,
        /// Return only events of this kind.
        kind: Query<Option<String>>,
        /// Return only events about this user.
        user_id: Query<Option<Uuid>>,
        /// Return only events that are older than the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of events to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<AuditEvent>>> {
        if let Some(kind) = &kind.0
            && !AuditKind::ALL.iter().any(|known| known.name() == kind)
        {
            return Err(Problem::bad_request("parameter kind: no event has this kind").into());
        }
        let limit = page_limit(limit.0);
        let filter = AuditFilter { kind: kind.0, user: user_id.0, before: after.0 };
        let rows = gateway.audit.list(filter, limit + 1).await?;
        Ok(Json(Page::new(rows, limit, |row| (row.id, row.data.as_str().len()))))
    }
}

/// Records a security event that a request has caused. `caller` is absent for a public operation.
pub(super) async fn record(
    gateway: &Gateway,
    request: &RequestInfo,
    caller: Option<&Principal>,
    event: (AuditKind, Option<Uuid>, Value),
) {
    let (kind, user, data) = event;
    let event = NewEvent {
        kind,
        user,
        actor: caller.map(|caller| caller.user_id),
        session: caller.map(|caller| caller.session_id),
        address: Some(request.address),
        data,
    };
    gateway.audit.record(event).await;
}
