//! The body of a publish request: JSON or NDJSON.

use poem::{FromRequest, Request, RequestBody};
use poem_openapi::{
    ApiRequest,
    payload::{ParsePayload, Payload},
    registry::{MetaSchema, MetaSchemaRef},
    types::{Example, ToJSON},
};
use serde_json::json;

use crate::{
    api::json::{Json, parse},
    family::prompt::{NewPromptEvent, NewPromptEvents},
    json::text,
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
        let line = text(&NewPromptEvent::example().to_json().unwrap_or_default());
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            description: Some(
                "1 to 1,000 lines, each with one event. Blank lines are skipped. The gateway publishes all \
                 events or none.",
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
        let lines = body.split(|byte| *byte == b'\n').zip(1..);
        let events = lines
            .filter(|(line, _)| !line.trim_ascii().is_empty())
            .map(|(line, number)| Ok((number, parse(line, Some(number))?)));
        Ok(Self(NewPromptEvents::from_lines(events.collect::<poem::Result<_>>()?)))
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
