//! The operations of the owners of tunnels that share them.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    api::{
        audit_events::record,
        caller::{Caller, Person, Viewer},
        json::Json,
        middleware::RequestInfo,
        problem::{ChangeResult, ReadResult, WriteResult},
        responses::NoContent,
        tag::Tag,
    },
    audit::AuditKind,
    family::{
        tunnel::{self, NewTunnelShare, SharedTunnel, TunnelPolicy, TunnelShare},
        wire::Page,
    },
    gateway::Gateway,
};

/// The operations.
pub(in crate::api) struct TunnelSharesApi;

#[OpenApi(prefix_path = "/reverse-proxy", tag = "Tag::Tunnel")]
impl TunnelSharesApi {
    /// List tunnels that are shared with the caller
    ///
    /// Returns the tunnels of other users that the caller may use, oldest first. Requires the role viewer.
    #[oai(path = "/shared", method = "get", operation_id = "shared_tunnel_list")]
    async fn list_shared(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Return only tunnels after the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of tunnels to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<SharedTunnel>>> {
        let page = (after.0, limit.0);
        Ok(Json(tunnel::list_shared(&gateway, &caller.principal, page).await?))
    }

    /// List the users that a tunnel is shared with
    ///
    /// Only the owner of the tunnel and administrators may call this. Every other user gets 404. Requires the role
    /// viewer.
    #[oai(path = "/sessions/:id/shares", method = "get", operation_id = "tunnel_share_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Tunnel id.
        id: Path<Uuid>,
        /// Return only users after the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of users to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<TunnelShare>>> {
        let page = (after.0, limit.0);
        Ok(Json(tunnel::list_shares(&gateway, &caller.principal, id.0, page).await?))
    }

    /// Share a tunnel with a user
    ///
    /// Lets the user use the MCP server of the tunnel at `/mcp`, with the role `list` or `call`. The user sees neither
    /// the tunnel itself nor its stream. For a user that it is shared with already, changes the role for all later
    /// requests. A tunnel can be shared with 200 users. 404 also if no user has this name.
    ///
    /// Only the owner of the tunnel may call this, and not with an API key. An administrator gets 403, and every other user
    /// gets 404. Requires the role viewer.
    #[oai(
        path = "/sessions/:id/shares/:username",
        method = "put",
        operation_id = "tunnel_share_set"
    )]
    async fn set(
        &self,
        caller: Caller<Person>,
        gateway: Data<&Arc<Gateway>>,
        info: Data<&RequestInfo>,
        /// Tunnel id.
        id: Path<Uuid>,
        /// Name of the user.
        username: Path<String>,
        body: Json<NewTunnelShare>,
    ) -> ChangeResult<Json<TunnelShare>> {
        let principal = &caller.principal;
        let role = body.0.role;
        let wanted = (username.0.as_str(), role.into());
        let (share, has_changed) = tunnel::set_share(&gateway, principal, id.0, wanted).await?;
        if has_changed {
            let data = json!({ "tunnel": id.0, "role": role.to_string() });
            let event = (AuditKind::TunnelShared, Some(share.user), data);
            record(&gateway, &info, Some(principal), event).await;
        }
        Ok(Json(share))
    }

    /// Stop sharing a tunnel with a user
    ///
    /// Ends the requests, the streams and the MCP sessions of the user at once. Only the owner of the tunnel and
    /// administrators may call this. Every other user gets 404. Requires the role viewer.
    #[oai(
        path = "/sessions/:id/shares/:username",
        method = "delete",
        operation_id = "tunnel_share_delete"
    )]
    async fn delete(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        info: Data<&RequestInfo>,
        /// Tunnel id.
        id: Path<Uuid>,
        /// Name of the user.
        username: Path<String>,
    ) -> WriteResult<NoContent> {
        let principal = &caller.principal;
        let user = tunnel::delete_share(&gateway, principal, id.0, &username).await?;
        let event = (AuditKind::TunnelUnshared, Some(user), json!({ "tunnel": id.0 }));
        record(&gateway, &info, Some(principal), event).await;
        Ok(NoContent::NoContent)
    }

    /// Get the policy of a tunnel
    ///
    /// Returns the methods and the tools that users may use if the tunnel is shared with them. Only the owner of the
    /// tunnel and administrators may call this. Every other user gets 404. Requires the role viewer.
    #[oai(path = "/sessions/:id/policy", method = "get", operation_id = "tunnel_policy_get")]
    async fn policy(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Tunnel id.
        id: Path<Uuid>,
    ) -> ReadResult<Json<TunnelPolicy>> {
        Ok(Json(tunnel::get_policy(&gateway, &caller.principal, id.0).await?))
    }

    /// Set the policy of a tunnel
    ///
    /// Replaces the rules for the users that the tunnel is shared with. They apply to all later requests, and never to
    /// the owner. A method that is not allowed is answered like one that does not exist, and a tool that is not allowed
    /// is in no list. An empty object removes all rules. A policy has at most 16,384 bytes.
    ///
    /// Only the owner of the tunnel may call this, and not with an API key. An administrator gets 403, and every other user
    /// gets 404. Requires the role viewer.
    #[oai(path = "/sessions/:id/policy", method = "put", operation_id = "tunnel_policy_set")]
    async fn set_policy(
        &self,
        caller: Caller<Person>,
        gateway: Data<&Arc<Gateway>>,
        info: Data<&RequestInfo>,
        /// Tunnel id.
        id: Path<Uuid>,
        body: Json<TunnelPolicy>,
    ) -> WriteResult<Json<TunnelPolicy>> {
        let principal = &caller.principal;
        let (owner, policy) = tunnel::set_policy(&gateway, principal, id.0, body.0).await?;
        let event = (AuditKind::TunnelPolicyChanged, Some(owner), json!({ "tunnel": id.0 }));
        record(&gateway, &info, Some(principal), event).await;
        Ok(Json(policy))
    }
}
