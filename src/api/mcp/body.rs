//! The body of a POST to the MCP endpoint. A fault in it is a JSON-RPC error, and not a problem document.

use poem::{FromRequest, Request, RequestBody};
use poem_openapi::{
    impl_apirequest_for_payload,
    payload::{Json as PoemJson, ParsePayload, Payload},
    registry::{MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, Type},
};

use crate::{
    family::wire::Message,
    json,
    mcp::RpcError,
    tunnel::message::{self, Members},
};

/// One JSON-RPC message, or the reason why the body is none.
pub(super) struct McpBody(pub(super) Result<Members, RpcError>);

impl Payload for McpBody {
    const CONTENT_TYPE: &'static str = "application/json";

    fn check_content_type(content_type: &str) -> bool {
        PoemJson::<Message>::check_content_type(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        Message::schema_ref()
    }

    fn register(registry: &mut Registry) {
        Message::register(registry);
    }
}

impl ParsePayload for McpBody {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        let body = Vec::<u8>::from_request(request, body).await?;
        Ok(Self(parse(&body)))
    }
}

fn parse(body: &[u8]) -> Result<Members, RpcError> {
    let value = json::parse(body)
        .map_err(|error| RpcError::new(RpcError::PARSE, format!("the body: {error}")))?;
    let message = Message::parse_from_json(Some(value)).map_err(ParseError::into_message);
    let refused = |reason: String| RpcError::new(RpcError::INVALID_REQUEST, reason);
    let Message(message) = message.map_err(refused)?;
    match message::fault(&message) {
        Some(reason) => Err(refused(reason.to_owned())),
        None => Ok(message),
    }
}

impl_apirequest_for_payload!(McpBody);
