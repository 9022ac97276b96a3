//! All operations as one service.

use std::{sync::Arc, time::Duration};

use poem::{EndpointExt, Response, Route, endpoint::BoxEndpoint, http::StatusCode};
use poem_openapi::OpenApiService;
use uuid::Uuid;

use super::{
    api_keys, audit_events, auth, connections,
    docs::DocsApi,
    health, latency, mcp, mcp_sessions, me,
    middleware::{Bounds, Origins, RequestLayer},
    mutations, notifications, oauth,
    openapi::Documents,
    problem::{Kind, Problem},
    prompts,
    routes::Routes,
    stream_tokens,
    streams::{
        McpSessionStreamsApi, NotificationStreamsApi, StreamsApi, TaskStreamsApi,
        TopologyStreamsApi, TunnelStreamsApi,
    },
    tasks, topologies, tunnels, users,
};
use crate::{config::PublicUrl, gateway::Gateway};

/// The description of the OpenAPI document. [`json::parse`](crate::json::parse) keeps what it promises about JSON.
const DESCRIPTION: &str = "An OpenAPI-first gateway for authenticated live streams.\n\n\
    A request body must be JSON (RFC 8259) in UTF-8 without a byte order mark. At most 48 arrays and \
    objects may be nested in it. No object may have a key twice, and no string may contain a lone \
    surrogate. Otherwise the response is 400. JSON that the gateway only relays keeps the text of its \
    numbers and the value of its strings. The order of members can change.\n\n\
    Whatever its path, a request that is not valid HTTP gets 400, 414 or 501, and a method that the path does not \
    have gets 405. The operations do not list these again.";

type Apis = (
    (auth::AuthApi, me::MeApi, oauth::GrantsApi, oauth::PagesApi),
    (users::UsersApi, api_keys::ApiKeysApi, audit_events::AuditEventsApi),
    (StreamsApi, TopologyStreamsApi, TaskStreamsApi, NotificationStreamsApi, McpSessionStreamsApi),
    (
        tunnels::ConnectApi,
        tunnels::TunnelsApi,
        tunnels::TunnelSharesApi,
        TunnelStreamsApi,
        mcp::McpApi,
        mcp::HttpSseApi,
        mcp::MetadataApi,
    ),
    stream_tokens::StreamTokensApi,
    connections::ConnectionsApi,
    topologies::TopologiesApi,
    mutations::MutationsApi,
    notifications::NotificationsApi,
    mcp_sessions::McpSessionsApi,
    tasks::TasksApi,
    tasks::WorkersApi,
    (prompts::SessionsApi, prompts::PromptsApi, prompts::AgentsApi),
    (health::HealthApi, latency::LatencyApi),
    DocsApi,
);

fn service(documents: DocsApi) -> OpenApiService<Apis, ()> {
    let apis = (
        (auth::AuthApi, me::MeApi, oauth::GrantsApi, oauth::PagesApi),
        (users::UsersApi, api_keys::ApiKeysApi, audit_events::AuditEventsApi),
        (
            StreamsApi,
            TopologyStreamsApi,
            TaskStreamsApi,
            NotificationStreamsApi,
            McpSessionStreamsApi,
        ),
        (
            tunnels::ConnectApi,
            tunnels::TunnelsApi,
            tunnels::TunnelSharesApi,
            TunnelStreamsApi,
            mcp::McpApi,
            mcp::HttpSseApi,
            mcp::MetadataApi,
        ),
        stream_tokens::StreamTokensApi,
        connections::ConnectionsApi,
        topologies::TopologiesApi,
        mutations::MutationsApi,
        notifications::NotificationsApi,
        mcp_sessions::McpSessionsApi,
        tasks::TasksApi,
        tasks::WorkersApi,
        (prompts::SessionsApi, prompts::PromptsApi, prompts::AgentsApi),
        (health::HealthApi, latency::LatencyApi),
        documents,
    );
    OpenApiService::new(apis, "streamgate", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .license("MIT OR Apache-2.0")
}

/// The OpenAPI documents of a gateway with this public URL. Without one, their server is the folder of the document.
#[must_use]
pub fn documents(public_url: Option<&PublicUrl>) -> Documents {
    Documents::new(&service(DocsApi::empty()), public_url)
}

/// The HTTP interface of a gateway.
#[must_use]
pub fn endpoint(gateway: &Arc<Gateway>) -> BoxEndpoint<'static, Response> {
    let public_url = gateway.config.server.public_url.clone();
    let layer = RequestLayer {
        gateway: Arc::clone(gateway),
        routes: Arc::new(Routes::new::<Apis>()),
        origins: Arc::new(Origins::new(&gateway.config.server)),
        bounds: Bounds {
            head: gateway.config.server.head_limit_bytes,
            body: gateway.config.server.body_limit_bytes,
            body_time: Duration::from_secs(gateway.config.server.body_timeout_seconds),
        },
    };
    Route::new()
        .nest("/", service(DocsApi::new(move || documents(public_url.as_ref()))))
        .data(Arc::clone(gateway))
        .with(layer)
        .map_to_response()
        .boxed()
}

/// The response to a request whose head hyper refuses, before the middleware sees the request. Returns the request id,
/// which is also in the log, and the body.
#[must_use]
pub fn refusal(status: StatusCode) -> (String, String) {
    let problem = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Problem::new(
            Kind::HeadTooLarge,
            "the head of the request is too large or has more than 100 header fields",
        ),
        StatusCode::URI_TOO_LONG => {
            Problem::new(Kind::UriTooLong, "the target of the request is too long")
        }
        _ => Problem::bad_request("this is not an HTTP request"),
    };
    let id = Uuid::now_v7();
    tracing::info!(request_id = %id, status = status.as_u16(), "refused a malformed request");
    (id.to_string(), problem.body(id))
}
