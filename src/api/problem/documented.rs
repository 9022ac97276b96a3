//! The results of operations. The type of the result says which problems the OpenAPI document lists for the operation.

use std::marker::PhantomData;

use poem_openapi::{
    ApiResponse,
    registry::{MetaMediaType, MetaResponses, Registry},
    types::Type,
};

use super::{
    document::meta,
    kind::Kind,
    response::{Body, Problem},
};
use crate::family::wire::Message;

/// The problems that every operation lists. `openapi/complete.rs` removes those of parameters and bodies from an
/// operation that has none.
///
/// Not among them are the problems of a request that is refused before an operation is chosen (405, 414 and 501).
const EVERY: [Kind; 10] = [
    Kind::BadRequest,
    Kind::Unauthenticated,
    Kind::Forbidden,
    Kind::NotFound,
    Kind::RequestTimeout,
    Kind::PayloadTooLarge,
    Kind::UnsupportedMediaType,
    Kind::TooManyRequests,
    Kind::HeadTooLarge,
    Kind::Internal,
];

/// The problems that an operation lists beyond those that every operation lists.
pub(in crate::api) trait Further: Send {
    const KINDS: &'static [Kind];
    /// Statuses that can also come with a JSON-RPC response.
    const JSON_RPC: &'static [Kind] = &[];
}

/// Of an operation that uses the memory of the process only.
pub(in crate::api) struct Memory;
/// Of an operation that reads from the database. Every operation that checks a login session does.
pub(in crate::api) struct Read;
/// Of an operation that waits for the server behind a tunnel.
pub(in crate::api) struct Call;
/// Of an operation of the MCP endpoint, whose errors are JSON-RPC once the caller may use the tunnel.
pub(in crate::api) struct Mcp;
/// The same, of an operation that reads from the database only.
pub(in crate::api) struct McpRead;
/// Of an operation that writes to the database.
pub(in crate::api) struct Write;
/// Of an operation that writes to the database if the state of the resource allows it.
pub(in crate::api) struct Change;

impl Further for Memory {
    const KINDS: &'static [Kind] = &[];
}

impl Further for Read {
    const KINDS: &'static [Kind] = &[Kind::Unavailable];
}

impl Further for Call {
    const KINDS: &'static [Kind] = &[Kind::Unavailable, Kind::GatewayTimeout];
}

impl Further for Mcp {
    const KINDS: &'static [Kind] = &[Kind::Unavailable, Kind::InsufficientStorage];
    const JSON_RPC: &'static [Kind] = &[Kind::BadRequest, Kind::NotFound];
}

impl Further for McpRead {
    const KINDS: &'static [Kind] = &[Kind::Unavailable];
    const JSON_RPC: &'static [Kind] = Mcp::JSON_RPC;
}

impl Further for Write {
    const KINDS: &'static [Kind] = &[Kind::Unavailable, Kind::InsufficientStorage];
}

impl Further for Change {
    const KINDS: &'static [Kind] = &[Kind::Conflict, Kind::Unavailable, Kind::InsufficientStorage];
}

/// A problem of an operation that lists the problems of `F`.
pub(in crate::api) struct Documented<F>(Problem, PhantomData<F>);

/// The result of an operation that uses the memory of the process only.
pub(in crate::api) type MemoryResult<T> = Result<T, Documented<Memory>>;
/// The result of an operation that reads from the database.
pub(in crate::api) type ReadResult<T> = Result<T, Documented<Read>>;
/// The result of an operation that waits for the server behind a tunnel.
pub(in crate::api) type CallResult<T> = Result<T, Documented<Call>>;
/// The result of an operation of the MCP endpoint.
pub(in crate::api) type McpResult<T> = Result<T, Documented<Mcp>>;
/// The same, of an operation that reads from the database only.
pub(in crate::api) type McpReadResult<T> = Result<T, Documented<McpRead>>;
/// The result of an operation that writes to the database.
pub(in crate::api) type WriteResult<T> = Result<T, Documented<Write>>;
/// The result of an operation that writes to the database if the state of the resource allows it.
pub(in crate::api) type ChangeResult<T> = Result<T, Documented<Change>>;

impl<F, E: Into<Problem>> From<E> for Documented<F> {
    fn from(error: E) -> Self {
        Self(error.into(), PhantomData)
    }
}

impl<F> From<Documented<F>> for poem::Error {
    fn from(documented: Documented<F>) -> Self {
        documented.0.into()
    }
}

impl<F: Further> ApiResponse for Documented<F> {
    fn meta() -> MetaResponses {
        let kinds = EVERY.iter().chain(F::KINDS);
        let with_json_rpc = |kind: &Kind| {
            let mut response = meta(*kind);
            if F::JSON_RPC.contains(kind) {
                let schema = Message::schema_ref();
                response.content.push(MetaMediaType { content_type: "application/json", schema });
            }
            response
        };
        MetaResponses { responses: kinds.map(with_json_rpc).collect() }
    }

    fn register(registry: &mut Registry) {
        Body::register(registry);
    }
}
