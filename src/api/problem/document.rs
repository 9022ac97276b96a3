//! Problems in the OpenAPI document.

use std::time::Duration;

use poem_openapi::{
    registry::{MetaHeader, MetaMediaType, MetaResponse},
    types::Type,
};
use serde_json::Value;

use super::{
    kind::Kind,
    response::{Body, Problem},
};
use crate::family::wire::example_id;

/// An example of a problem with this status. Null if no kind of problem has the status.
pub(in crate::api) fn example(status: u16) -> Value {
    let kind = Kind::ALL.into_iter().find(|kind| kind.definition().0.as_u16() == status);
    let problem = match kind {
        Some(kind @ Kind::TooManyRequests) => {
            Problem::new(kind, kind.description()).retry_after(Duration::from_secs(7))
        }
        Some(kind) => Problem::new(kind, kind.description()),
        None => return Value::Null,
    };
    serde_json::from_str(&problem.body(example_id())).unwrap_or_default()
}

/// The response for a kind of problem in the OpenAPI document.
pub(in crate::api) fn meta(kind: Kind) -> MetaResponse {
    let header = |name: &str, description: &str| MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: false,
        deprecated: false,
        schema: String::schema_ref(),
    };
    MetaResponse {
        description: kind.description(),
        status: Some(kind.definition().0.as_u16()),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: "application/problem+json",
            schema: Body::schema_ref(),
        }],
        headers: match kind {
            Kind::Unauthenticated | Kind::RefreshSuperseded | Kind::AuthorizationRequired => {
                vec![header(
                    "WWW-Authenticate",
                    "Authentication scheme and error code (RFC 6750, section 3)",
                )]
            }
            Kind::TooManyRequests => vec![
                header(
                    "Retry-After",
                    "Seconds to wait before a retry, with jitter (RFC 9110, section 10.2.3)",
                ),
                header("RateLimit", "Remaining quota (draft-ietf-httpapi-ratelimit-headers)"),
                header(
                    "RateLimit-Policy",
                    "Limits of the quota (draft-ietf-httpapi-ratelimit-headers)",
                ),
            ],
            _ => Vec::new(),
        },
    }
}
