//! The JSON payload of every operation.

use std::ops::Deref;

use poem::{FromRequest, IntoResponse, Request, RequestBody, Response};
use poem_openapi::{
    ApiResponse,
    error::ParseRequestPayloadError,
    impl_apirequest_for_payload,
    payload::{Json as PoemJson, ParsePayload, Payload},
    registry::{MetaMediaType, MetaResponses, MetaSchemaRef, Registry},
    types::{ParseFromJSON, ToJSON, Type},
};

use super::problem::Problem;
use crate::json;

/// A JSON payload with the media type `application/json`.
///
/// RFC 8259, section 11, defines no parameter `charset` for this media type. The payload of poem-openapi adds one, and
/// several generators of clients then do not recognise the type.
///
/// The payload of poem-openapi also parses numbers into doubles, and keeps the last of two members with the same key.
/// [`json::parse`] keeps the text of numbers and refuses the keys.
pub(super) struct Json<T>(pub(super) T);

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Type> Payload for Json<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn check_content_type(content_type: &str) -> bool {
        PoemJson::<T>::check_content_type(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ParseFromJSON> ParsePayload for Json<T> {
    const IS_REQUIRED: bool = T::IS_REQUIRED;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        let body = Vec::<u8>::from_request(request, body).await?;
        if body.is_empty() && Self::IS_REQUIRED {
            return Err(Problem::bad_request("the body is empty").into());
        }
        parse(&body, None).map(Self)
    }
}

/// Parses a body, or one `line` of a body. The error names the line.
pub(super) fn parse<T: ParseFromJSON>(text: &[u8], line: Option<usize>) -> poem::Result<T> {
    let value = json::parse(text).map_err(|error| {
        let error = match line {
            Some(line) => error.in_line(line),
            None => error,
        };
        Problem::bad_request(format!("the body: {error}"))
    })?;
    T::parse_from_json(Some(value)).map_err(|error| {
        let reason = json::without_embedded(error.into_message());
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        ParseRequestPayloadError { reason: place + &reason }.into()
    })
}

impl<T: ToJSON> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let body = json::text(&self.0.to_json().unwrap_or_default());
        Response::builder().content_type(Self::CONTENT_TYPE).body(body)
    }
}

impl<T: ToJSON> ApiResponse for Json<T> {
    fn meta() -> MetaResponses {
        let mut meta = PoemJson::<T>::meta();
        for response in &mut meta.responses {
            response.content =
                vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema: T::schema_ref() }];
        }
        meta
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl_apirequest_for_payload!(Json<T>, T: ParseFromJSON);
