//! The response that accepts a WebSocket.

use poem::{IntoResponse, Response};
use poem_openapi::{
    ApiResponse,
    registry::{MetaResponse, MetaResponses, Registry},
};

/// 101: the connection becomes a WebSocket.
pub(super) struct SwitchingProtocols(pub(super) Response);

impl IntoResponse for SwitchingProtocols {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for SwitchingProtocols {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The connection is a WebSocket (RFC 6455) from now on. Each frame is a JSON object with \
                              a `type`",
                status: Some(101),
                status_range: None,
                content: Vec::new(),
                headers: Vec::new(),
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}
