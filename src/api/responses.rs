//! Responses that several operations share.

use poem_openapi::{
    ApiResponse,
    types::{ToJSON, Type},
};

use super::json::Json;

/// 201 with the new resource.
#[derive(ApiResponse)]
pub(super) enum Created<T: Type + ToJSON> {
    /// The resource was created.
    #[oai(status = 201)]
    Created(Json<T>),
}

/// 204.
#[derive(ApiResponse)]
pub(super) enum NoContent {
    /// The operation succeeded. The response has no body.
    #[oai(status = 204)]
    NoContent,
}
