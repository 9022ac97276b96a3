//! The MCP endpoint of a tunnel over HTTP: Streamable HTTP of both eras, and the metadata of the protected resource.

mod body;
mod metadata;
mod operations;
mod post;
mod response;
mod sse;
mod stream;

pub(super) use metadata::{MetadataApi, metadata_url};
pub(super) use operations::McpApi;
