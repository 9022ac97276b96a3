//! The responses of the MCP endpoint.

use poem::{
    Body, IntoResponse, Response,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    registry::{
        MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
    },
    types::Type,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    api::streams::{EVENT_STREAM, set_stream_headers},
    family::wire::Message,
    mcp::{RpcError, error_code},
    tunnel::message::{self, Members},
};

/// The header with the id of a session.
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// A response of the MCP endpoint.
pub(super) enum McpResponse {
    /// 200 or an error: a JSON-RPC response. The status follows from the code of an error.
    Message(Members),
    /// 200: the result of `initialize`, with the id of the new session.
    Initialized(Uuid, Members),
    /// 404: a JSON-RPC error, because the session or the method does not exist.
    NotFound(Members),
    /// 200: server-sent events.
    Stream(Body),
    /// 202: a notification or a response was taken.
    Accepted,
    /// 204: the session has ended.
    Ended,
    /// 400: a JSON-RPC error, whatever its code.
    Refused(Members),
}

/// The status of a JSON-RPC response (MCP 2026-07-28, Streamable HTTP, Error Responses).
fn status(response: &Members) -> StatusCode {
    match error_code(response) {
        Some(
            RpcError::PARSE
            | RpcError::INVALID_REQUEST
            | RpcError::HEADER_MISMATCH
            | RpcError::MISSING_CAPABILITY
            | RpcError::UNSUPPORTED_VERSION,
        ) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

impl McpResponse {
    /// A message that is refused, with the status that its code has.
    pub(super) fn refusal(error: RpcError, id: Value) -> Self {
        Self::Message(error.into_response(id))
    }

    /// A response of the modern era, which also has a status for unknown methods.
    pub(super) fn modern(response: Members) -> Self {
        match error_code(&response) {
            Some(RpcError::METHOD_NOT_FOUND) => Self::NotFound(response),
            _ => Self::Message(response),
        }
    }
}

impl IntoResponse for McpResponse {
    fn into_response(self) -> Response {
        let json = |status: StatusCode, message: &Members| {
            let response = Response::builder().status(status).content_type("application/json");
            response.body(message::text(message))
        };
        match self {
            Self::Message(message) => json(status(&message), &message),
            Self::NotFound(message) => json(StatusCode::NOT_FOUND, &message),
            Self::Initialized(session, message) => {
                let mut response = json(StatusCode::OK, &message);
                if let Ok(session) = HeaderValue::from_str(&session.to_string()) {
                    response.headers_mut().insert(SESSION, session);
                }
                response
            }
            Self::Stream(body) => {
                let mut response = Response::builder().body(body);
                set_stream_headers(&mut response);
                response
            }
            Self::Accepted => Response::builder().status(StatusCode::ACCEPTED).finish(),
            Self::Ended => Response::builder().status(StatusCode::NO_CONTENT).finish(),
            Self::Refused(message) => json(StatusCode::BAD_REQUEST, &message),
        }
    }
}

/// The response to a POST.
pub(super) struct Answered(pub(super) McpResponse);
/// The response to a GET.
pub(super) struct Opened(pub(super) McpResponse);
/// The response to a POST whose answer comes on a stream.
pub(super) struct Taken(pub(super) McpResponse);
/// The response to a DELETE.
pub(super) struct EndedSession(pub(super) McpResponse);

fn documented(
    status: u16,
    description: &'static str,
    content: Vec<MetaMediaType>,
    headers: Vec<MetaHeader>,
) -> MetaResponse {
    MetaResponse { description, status: Some(status), status_range: None, content, headers }
}

fn events() -> MetaMediaType {
    let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::ANY));
    MetaMediaType { content_type: EVENT_STREAM, schema }
}

macro_rules! responses {
    ($($name:ident: [$($response:expr),+ $(,)?];)+) => {
        $(
            impl IntoResponse for $name {
                fn into_response(self) -> Response {
                    self.0.into_response()
                }
            }

            impl ApiResponse for $name {
                fn meta() -> MetaResponses {
                    MetaResponses { responses: vec![$($response),+] }
                }

                fn register(registry: &mut Registry) {
                    Message::register(registry);
                }
            }
        )+
    };
}

responses! {
    Answered: [
        documented(
            200,
            "The JSON-RPC response, or server-sent events that end with it",
            vec![
                MetaMediaType { content_type: "application/json", schema: Message::schema_ref() },
                events(),
            ],
            vec![MetaHeader {
                name: "Mcp-Session-Id".to_owned(),
                description: Some("Id of the new session, with the answer to `initialize`".to_owned()),
                required: false,
                deprecated: false,
                schema: Uuid::schema_ref(),
            }],
        ),
        documented(202, "The notification or the response was taken", Vec::new(), Vec::new()),
    ];
    Opened: [
        documented(200, "Server-sent events with JSON-RPC messages", vec![events()], Vec::new()),
    ];
    Taken: [
        documented(202, "The message was taken", Vec::new(), Vec::new()),
    ];
    EndedSession: [
        documented(204, "The session has ended", Vec::new(), Vec::new()),
    ];
}

/// Whether a client accepts server-sent events.
pub(super) fn accepts_events(accept: Option<&HeaderValue>) -> bool {
    let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    let mut types = accept.split(',').filter_map(|part| part.split(';').next()).map(str::trim);
    types.any(|name| [EVENT_STREAM, "text/*", "*/*"].contains(&name))
}

/// The name of the header that selects the media type.
pub(super) const ACCEPT: HeaderName = header::ACCEPT;
