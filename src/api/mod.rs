//! HTTP: the only floor that knows poem. Every endpoint is an operation of the OpenAPI document.
//!
//! A request's way: the edge (`middleware.rs`: id, log, body, errors), the caller (`caller.rs`: who, how
//! often, which role), then the operation of its family's file (exists, room, position) and, for
//! streams, `stream.rs`.

mod auth;
mod body;
mod caller;
mod connection;
mod conversation;
mod documents;
mod event_page;
mod health;
mod mcp_sessions;
mod middleware;
mod notifications;
mod openapi;
mod problem;
pub(crate) mod prompt;
mod request_info;
mod routes;
mod shim;
mod stream;
mod stream_route;
mod stream_token;
mod streams;
pub(crate) mod task;
pub(crate) mod topology;
mod user;

use std::{sync::Arc, time::Duration};

use poem::{
    EndpointExt, Response, Route,
    endpoint::BoxEndpoint,
    http::{HeaderName, StatusCode},
};
use poem_openapi::{OpenApiService, Tags};
use uuid::Uuid;

use crate::gateway::Gateway;
use body::Bounds;
use documents::DocumentsApi;
use middleware::RequestLayer;
use problem::{Kind, Problem};

use routes::Routes;

pub use openapi::{Documents, Version};

pub(crate) use crate::family::wire::{
    PAGE_BYTES, Page, example_id, example_time, page_limit, wire_enum as mirror,
};
use shim::{family, lease, stored, text};

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

#[derive(Tags)]
enum Tag {
    /// Logging in and out, and who one is.
    Auth,
    /// Looking after users.
    User,
    /// Streams of many topics.
    Stream,
    /// Tokens for one stream each.
    StreamToken,
    /// Streams that are open now.
    Connection,
    /// Topologies, their mutations and their streams.
    Topology,
    /// What a user is told.
    Notification,
    /// Sessions of the Model Context Protocol.
    McpSession,
    /// Tasks, the workers that do them, and their streams.
    Task,
    /// Sessions, the prompts in them, what agents answer and its streams.
    Prompt,
    /// Whether the service works, and how.
    Health,
    /// This document.
    Docs,
}

type Apis = (
    auth::Auth,
    user::UsersApi,
    streams::Streams,
    stream_token::StreamTokens,
    connection::Connections,
    topology::Topologies,
    topology::Mutations,
    notifications::NotificationsApi,
    mcp_sessions::McpSessionsApi,
    task::Tasks,
    task::Workers,
    conversation::Conversations,
    prompt::Prompts,
    prompt::Agents,
    health::Health,
    DocumentsApi,
);

fn service(documents: DocumentsApi) -> OpenApiService<Apis, ()> {
    let apis = (
        auth::Auth,
        user::UsersApi,
        streams::Streams,
        stream_token::StreamTokens,
        connection::Connections,
        topology::Topologies,
        topology::Mutations,
        notifications::NotificationsApi,
        mcp_sessions::McpSessionsApi,
        task::Tasks,
        task::Workers,
        conversation::Conversations,
        prompt::Prompts,
        prompt::Agents,
        health::Health,
        documents,
    );
    OpenApiService::new(apis, "streamgate", env!("CARGO_PKG_VERSION"))
        .description("An OpenAPI-first gateway for authenticated live streams.")
        .license("MIT OR Apache-2.0")
}

/// The OpenAPI documents of this version.
#[must_use]
pub fn documents() -> Documents {
    Documents::of(&service(DocumentsApi::empty()))
}

/// The whole HTTP interface over a gateway.
#[must_use]
pub fn endpoint(gateway: &Arc<Gateway>) -> BoxEndpoint<'static, Response> {
    let documents = Arc::new(documents());
    let layer = RequestLayer {
        gateway: Arc::clone(gateway),
        routes: Arc::new(Routes::of(documents.v3_0())),
        bounds: Bounds {
            head: gateway.config.server.head_limit_bytes,
            body: gateway.config.server.body_limit_bytes,
            body_time: Duration::from_secs(gateway.config.server.body_timeout_seconds),
        },
    };
    Route::new()
        .nest("/", service(DocumentsApi::new(documents)))
        .data(Arc::clone(gateway))
        .with(layer)
        .map_to_response()
        .boxed()
}

/// Answers what cannot be made a request of: the id, which is also in the log, and the body.
#[must_use]
pub fn refusal(status: StatusCode) -> (String, String) {
    let problem = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Problem::new(
            Kind::HeadTooLarge,
            "the head of the request is too large or has more than 100 fields",
        ),
        StatusCode::URI_TOO_LONG => {
            Problem::new(Kind::UriTooLong, "the target of the request is too long")
        }
        _ => Problem::bad_request("this is not an HTTP request"),
    };
    let id = Uuid::now_v7();
    tracing::info!(%id, status = status.as_u16(), "refused what is not a request");
    (id.to_string(), problem.body(id))
}
