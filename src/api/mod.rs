//! HTTP: the only floor that knows poem. Every endpoint is an operation of the OpenAPI document.
//!
//! A request's way: the edge (`edge.rs`: id, log, body, errors), the caller (`caller.rs`: who, how
//! often, which role), then the operation of its family's file (exists, room, position) and, for
//! streams, `stream.rs`.

mod auth;
mod caller;
mod claim;
mod connection;
mod conversation;
mod documents;
mod edge;
mod event_page;
mod family;
mod health;
mod lease;
mod mcp_session;
mod notification;
mod openapi;
mod problem;
mod prompt;
mod receive;
mod routes;
mod stored;
mod stream;
mod stream_token;
mod streams;
mod task;
mod text;
mod topology;
mod user;

use std::{sync::Arc, time::Duration};

use poem::{
    EndpointExt, Response, Route,
    endpoint::BoxEndpoint,
    http::{HeaderName, StatusCode},
};
use poem_openapi::{
    Object, OpenApiService, Tags,
    types::{ParseFromJSON, ToJSON},
};
use time::{OffsetDateTime, macros::datetime};
use uuid::{Uuid, uuid};

use crate::gateway::Gateway;
use documents::DocumentsApi;
use edge::Edge;
use problem::{Kind, Problem};
use receive::Bounds;
use routes::Routes;

pub use openapi::{Documents, Version};

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
    notification::Notifications,
    mcp_session::McpSessions,
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
        notification::Notifications,
        mcp_session::McpSessions,
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
    let edge = Edge {
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
        .with(edge)
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

/// Starts what the families do in the background.
pub fn start_background(gateway: &Arc<Gateway>) {
    // One who waits for the alarm, for all families.
    gateway.at_leases_end(async |gateway| {
        topology::requeue_expired(&gateway).await;
        task::end_leases(&gateway).await;
        prompt::end_expired(&gateway).await;
    });
    let sweep = Duration::from_secs(gateway.config.retention.sweep_seconds);
    gateway.every(sweep, family::sweep);
}

/// A part of a list.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
struct Page<T: ParseFromJSON + ToJSON + Send + Sync> {
    /// In the order of the list.
    items: Vec<T>,
    /// If there is more: what to send as `after` to get it.
    next: Option<Uuid>,
}

impl<T: ParseFromJSON + ToJSON + Send + Sync> Page<T> {
    /// From rows that were read with one more than `limit`, to see whether there is more; `about`
    /// tells a row's id and how many bytes of JSON it holds.
    fn of<R: Into<T>>(mut rows: Vec<R>, limit: u64, about: impl Fn(&R) -> (Uuid, usize)) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let fit = fitting(rows.iter().map(|row| about(row).1)).min(limit);
        let more = rows.len() > fit;
        rows.truncate(fit);
        let next = if more { rows.last().map(|row| about(row).0) } else { None };
        Self { items: rows.into_iter().map(Into::into).collect(), next }
    }
}

/// Bytes of stored JSON on one page: parsed and written again they take many times as much.
const PAGE_BYTES: usize = 1 << 20;

/// How many of the first rows, at least one, fit on a page by their sizes.
fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut total = 0;
    let fit = sizes.take_while(|size| {
        total += size;
        total <= PAGE_BYTES
    });
    fit.count().max(1)
}

/// How many a list returns at most; the parameter's validator has checked the range.
fn page_limit(asked: Option<u64>) -> u64 {
    asked.unwrap_or(50)
}

/// For examples in the document.
fn example_id() -> Uuid {
    uuid!("0198c2f0-7d52-7a11-8c7e-3f5f1f1f9d10")
}

/// For examples in the document.
fn example_time() -> OffsetDateTime {
    datetime!(2026-11-20 12:00:00.25 UTC)
}

/// An enum of the API with the same variants as one of the rows. They are two because rows know
/// nothing of HTTP, and this keeps them from drifting apart: a variant that one of them lacks does
/// not compile.
macro_rules! mirror {
    ($(#[$doc:meta])* $visibility:vis $name:ident = $row:path { $($variant:ident),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, poem_openapi::Enum)]
        #[oai(rename_all = "snake_case")]
        $visibility enum $name { $($variant),+ }

        impl From<$name> for $row {
            fn from(value: $name) -> Self {
                use $row as Row;
                match value { $($name::$variant => Row::$variant),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&poem_openapi::types::ToJSON::to_json_string(self).replace('"', ""))
            }
        }
    };
    ($(#[$doc:meta])* $visibility:vis $name:ident <=> $row:path { $($variant:ident),+ }) => {
        $crate::api::mirror! { $(#[$doc])* $visibility $name = $row { $($variant),+ } }

        impl From<$row> for $name {
            fn from(value: $row) -> Self {
                use $row as Row;
                match value { $(Row::$variant => Self::$variant),+ }
            }
        }
    };
}
use mirror;
