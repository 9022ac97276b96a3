//! The metadata of the MCP endpoint as a protected resource (RFC 9728): who issues the tokens that it accepts.

use std::sync::Arc;

use poem::{
    Request,
    http::{header, uri::Authority},
    web::Data,
};
use poem_openapi::{Object, OpenApi, param::Path, types::Example};

use crate::{
    api::{json::Json, middleware::RequestInfo, problem::MemoryResult, tag::Tag, visitor::Visitor},
    config::Config,
    forwarded::Scheme,
    gateway::Gateway,
};

/// The path of the metadata, before the path of the resource.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The base URL of the gateway for the client of a request: the configured one, else that of the request.
fn base_url(config: &Config, scheme: Scheme, request: &Request) -> String {
    if let Some(url) = &config.server.public_url {
        return url.to_string();
    }
    let in_target = request.uri().authority().map(Authority::as_str);
    let host = in_target.or_else(|| request.headers().get(header::HOST)?.to_str().ok());
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

/// The URL of the metadata of a resource. `None` if the path is not one of the MCP endpoint.
pub(in crate::api) fn metadata_url(
    config: &Config,
    scheme: Scheme,
    request: &Request,
) -> Option<String> {
    let path = request.uri().path();
    // The resource of a client that speaks HTTP+SSE is the endpoint, too.
    let path = ["/sse", "/messages"].iter().find_map(|end| path.strip_suffix(end)).unwrap_or(path);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~@".contains(&byte);
    let is_mcp = path.starts_with("/mcp/") && path.bytes().all(is_plain);
    is_mcp.then(|| format!("{}{WELL_KNOWN}{path}", base_url(config, scheme, request)))
}

/// The metadata of a protected resource (RFC 9728, section 2).
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
struct ResourceMetadata {
    /// URL of the resource.
    resource: String,
    /// Issuers of the access tokens that the gateway accepts, from the configuration. Absent if it accepts only its own
    /// tokens and API keys.
    authorization_servers: Option<Vec<String>>,
    /// The places of a request that can have a token: `header`.
    bearer_methods_supported: Vec<String>,
    /// Name of the resource, for people.
    resource_name: String,
}

impl Example for ResourceMetadata {
    fn example() -> Self {
        Self {
            resource: "https://gate.example.com/mcp/@ada/everything".to_owned(),
            authorization_servers: Some(vec!["https://id.example.com/realms/main".to_owned()]),
            bearer_methods_supported: vec!["header".to_owned()],
            resource_name: "streamgate".to_owned(),
        }
    }
}

fn metadata(gateway: &Gateway, info: &RequestInfo, request: &Request) -> Json<ResourceMetadata> {
    let path = request.uri().path();
    let path = path.strip_prefix(WELL_KNOWN).unwrap_or_default();
    let base = base_url(&gateway.config, info.scheme, request);
    let issuers = gateway.config.auth.issuers.iter();
    let issuers: Vec<String> = issuers.map(|issuer| issuer.issuer.clone()).collect();
    Json(ResourceMetadata {
        resource: format!("{base}{path}"),
        authorization_servers: (!issuers.is_empty()).then_some(issuers),
        bearer_methods_supported: vec!["header".to_owned()],
        resource_name: "streamgate".to_owned(),
    })
}

/// The operations.
pub(in crate::api) struct MetadataApi;

#[OpenApi(prefix_path = "/.well-known/oauth-protected-resource", tag = "Tag::Tunnel")]
impl MetadataApi {
    /// Get the metadata of the gateway
    ///
    /// Names the issuers of the access tokens that the gateway accepts (RFC 9728), for a client that gets 401 from the
    /// MCP endpoint of a tunnel.
    #[oai(path = "/", method = "get", operation_id = "resource_metadata_get")]
    async fn root(
        &self,
        _visitor: Visitor,
        gateway: Data<&Arc<Gateway>>,
        info: Data<&RequestInfo>,
        request: &Request,
    ) -> MemoryResult<Json<ResourceMetadata>> {
        Ok(metadata(&gateway, &info, request))
    }

    /// Get the metadata of a tunnel
    ///
    /// The same, for the MCP endpoint of one tunnel. The response does not depend on whether the tunnel exists.
    #[oai(path = "/mcp/:tunnel", method = "get", operation_id = "tunnel_metadata_get")]
    async fn tunnel(
        &self,
        _visitor: Visitor,
        gateway: Data<&Arc<Gateway>>,
        info: Data<&RequestInfo>,
        request: &Request,
        /// Tunnel id.
        #[oai(name = "tunnel")]
        _tunnel: Path<String>,
    ) -> MemoryResult<Json<ResourceMetadata>> {
        Ok(metadata(&gateway, &info, request))
    }

    /// Get the metadata of a named tunnel
    ///
    /// The same, for the MCP endpoint under the name of the tunnel.
    #[oai(path = "/mcp/:tunnel/:name", method = "get", operation_id = "named_tunnel_metadata_get")]
    async fn named_tunnel(
        &self,
        _visitor: Visitor,
        gateway: Data<&Arc<Gateway>>,
        info: Data<&RequestInfo>,
        request: &Request,
        /// User name of the owner, after an `@`.
        #[oai(name = "tunnel")]
        _tunnel: Path<String>,
        /// Name of the tunnel.
        #[oai(name = "name")]
        _name: Path<String>,
    ) -> MemoryResult<Json<ResourceMetadata>> {
        Ok(metadata(&gateway, &info, request))
    }
}
