//! The body of a publish request: JSON or NDJSON.

use poem::{FromRequest, Request, RequestBody};
use poem_openapi::{
    ApiRequest,
    error::ParseRequestPayloadError,
    payload::{ParsePayload, Payload},
    registry::{MetaSchema, MetaSchemaRef},
    types::{Example, ToJSON},
};
use serde_json::json;

use crate::{
    api::{json::Json, middleware::lines},
    family::prompt::{NewPromptEvent, NewPromptEvents},
};

/// Events as NDJSON: one event in each line.
pub(super) struct Ndjson(NewPromptEvents);

impl Payload for Ndjson {
    const CONTENT_TYPE: &'static str = "application/x-ndjson";

    fn check_content_type(content_type: &str) -> bool {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case(Self::CONTENT_TYPE)
    }

    fn schema_ref() -> MetaSchemaRef {
        let line = json!(NewPromptEvent::example().to_json()).to_string();
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            description: Some(
                "1 to 1,000 lines, each with one event. The gateway publishes all events or none.",
            ),
            example: Some(json!(format!("{line}\n{line}\n"))),
            ..MetaSchema::new("string")
        }))
    }
}

impl ParsePayload for Ndjson {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        let body = Vec::<u8>::from_request(request, body).await?;
        let values = lines(&body)
            .map(|line| serde_json::from_slice(line).map_err(|error| error.to_string()));
        let events = NewPromptEvents::parse_all(values);
        Ok(Self(events.map_err(|reason| ParseRequestPayloadError { reason })?))
    }
}

/// Events of one publish request.
#[derive(ApiRequest)]
pub(super) enum Publication {
    /// One event, or an array of events.
    Json(Json<NewPromptEvents>),
    /// One event in each line.
    Ndjson(Ndjson),
}

impl Publication {
    /// The events, independent of their format.
    pub(super) fn into_events(self) -> NewPromptEvents {
        let (Self::Json(Json(events)) | Self::Ndjson(Ndjson(events))) = self;
        events
    }
}
