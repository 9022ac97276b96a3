//! The MCP endpoint of a tunnel over HTTP: Streamable HTTP of both eras, HTTP+SSE for old clients,
//! and the metadata of the protected resource.

mod body;
mod call;
mod forward;
mod http_sse;
mod metadata;
mod operations;
mod post;
mod response;
mod sse;
mod stream;

pub(super) use http_sse::HttpSseApi;
pub(super) use metadata::{MetadataApi, metadata_url};
pub(super) use operations::McpApi;
