//! Errors on the wire: the one file that maps what went wrong to a status.
//!
//! Every answer above 399, the framework's own included, is a problem document (RFC 9457) with a
//! stable `type` and the id of the request. What happened inside goes to the log under the same id
//! and never into the body.

use std::{borrow::Cow, sync::Arc};

use poem::{
    IntoResponse, Response,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse, Object,
    error::{ContentTypeError, ParseParamError, ParsePathError, ParseRequestPayloadError},
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{Example, ToJSON, Type},
};
use sea_orm::DbErr;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    hub::PublishError, limit::Refused, session::SessionError, telemetry::Telemetry, user::UserError,
};

/// What went wrong, in kind. Names are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request cannot be understood.
    BadRequest,
    /// Who calls is not known, or not any more.
    Unauthenticated,
    /// The caller is known and may not.
    Forbidden,
    /// There is no such thing, or not for this caller.
    NotFound,
    /// The path is right, the method is not.
    MethodNotAllowed,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The present state does not allow it.
    Conflict,
    /// It was there and is no longer kept.
    Gone,
    /// The body is too large.
    PayloadTooLarge,
    /// The body is of another media type.
    UnsupportedMediaType,
    /// A limit is reached.
    TooManyRequests,
    /// A fault of ours.
    Internal,
    /// Something that the service needs is out of reach.
    Unavailable,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::BadRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Conflict,
        Self::Gone,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
    ];

    /// Status, last part of `type`, `title`.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "Bad request"),
            Self::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "unauthenticated", "Authentication required")
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Forbidden"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed")
            }
            Self::RequestTimeout => {
                (StatusCode::REQUEST_TIMEOUT, "request-timeout", "Request timeout")
            }
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Conflict"),
            Self::Gone => (StatusCode::GONE, "gone", "No longer kept"),
            Self::PayloadTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large", "Payload too large")
            }
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "Unsupported media type",
            ),
            Self::TooManyRequests => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Service unavailable")
            }
        }
    }

    /// What the OpenAPI document says of the status.
    const fn description(self) -> &'static str {
        match self {
            Self::BadRequest => "A parameter or the body cannot be understood",
            Self::Unauthenticated => {
                "No credential, or one that is not valid, has expired or belongs to a session that \
                 has ended; `WWW-Authenticate` says which (RFC 6750)"
            }
            Self::Forbidden => "The role or the stream token does not allow it",
            Self::NotFound => {
                "There is no such resource, or none that this caller may see: the answer is the same"
            }
            Self::MethodNotAllowed => "The path has no such method; `Allow` lists those it has",
            Self::RequestTimeout => "The body did not arrive in time",
            Self::Conflict => "The present state does not allow it",
            Self::Gone => "The events after this cursor are no longer kept",
            Self::PayloadTooLarge => "The body is larger than this service takes",
            Self::UnsupportedMediaType => "The body is not of the documented media type",
            Self::TooManyRequests => {
                "A limit is reached; `Retry-After` says when to come back, with jitter"
            }
            Self::Internal => "A fault of the service; its log has the request id",
            Self::Unavailable => "Something that the service needs is out of reach",
        }
    }
}

/// An error on its way out.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    retry_after_seconds: Option<u64>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// A member of the body beside the standard ones (RFC 9457, section 3.2).
    extension: Option<(&'static str, Value)>,
    /// For the log only.
    cause: Option<Arc<str>>,
}

/// What an operation comes to.
pub type Result<T> = std::result::Result<T, Problem>;

/// A problem document (RFC 9457).
#[derive(Object)]
#[oai(rename = "Problem", skip_serializing_if_is_none, example)]
struct Body {
    /// What went wrong, in kind: a stable URI.
    #[oai(rename = "type")]
    kind: String,
    /// The same for people; does not change from one occurrence to the next.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What went wrong this time.
    detail: String,
    /// The id of the request, which is also in the service's log.
    instance: String,
    /// With 429 and 503: when to come back, in seconds, as in `Retry-After`.
    retry_after_seconds: Option<u64>,
}

impl Example for Body {
    fn example() -> Self {
        Self {
            kind: "https://streamgate.dev/problems/too-many-requests".to_owned(),
            title: "Too many requests".to_owned(),
            status: 429,
            detail: "this user has as many streams open as are allowed".to_owned(),
            instance: "urn:uuid:0198c2f0-7d52-7a11-8c7e-3f5f1f1f9d10".to_owned(),
            retry_after_seconds: Some(7),
        }
    }
}

impl Problem {
    /// An error of this kind; `detail` goes to the caller.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self {
            kind,
            detail,
            retry_after_seconds: None,
            headers: Vec::new(),
            extension: None,
            cause: None,
        }
    }

    /// 400.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    /// 404, with one text whatever the reason: a caller must not learn what it may not see.
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "there is no such resource, or none that you may see")
    }

    /// 409.
    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Conflict, detail)
    }

    /// 401 without a credential (RFC 6750, section 3.1: no error code then).
    pub fn no_credential() -> Self {
        Self::new(Kind::Unauthenticated, "this operation needs a bearer token")
            .header(header::WWW_AUTHENTICATE, "Bearer realm=\"streamgate\"")
    }

    /// 401 for a credential that is no good. `detail` must have no quotes.
    pub fn invalid_token(detail: &'static str) -> Self {
        let challenge = format!(
            "Bearer realm=\"streamgate\", error=\"invalid_token\", error_description=\"{detail}\""
        );
        Self::new(Kind::Unauthenticated, detail).header(header::WWW_AUTHENTICATE, &challenge)
    }

    /// 403 for a role that is too low.
    pub fn insufficient_role(needed: &'static str) -> Self {
        let challenge = "Bearer realm=\"streamgate\", error=\"insufficient_scope\"";
        Self::new(Kind::Forbidden, format!("this operation needs the role {needed}"))
            .header(header::WWW_AUTHENTICATE, challenge)
    }

    /// 500; `cause` goes to the log.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        let problem = Self::new(Kind::Internal, "a fault of the service");
        Self { cause: Some(cause.to_string().into()), ..problem }
    }

    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        // A value that cannot be a header is left out rather than turned into another error.
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// The same with a member of its own in the body.
    #[must_use]
    pub fn with(self, name: &'static str, value: Value) -> Self {
        Self { extension: Some((name, value)), ..self }
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.kind.parts().0
    }

    /// What must not leave the service.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The body, as JSON text on one line.
    #[must_use]
    pub fn body(&self, request: Uuid) -> String {
        let (status, slug, title) = self.kind.parts();
        let body = Body {
            kind: format!("https://streamgate.dev/problems/{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone().into_owned(),
            instance: format!("urn:uuid:{request}"),
            retry_after_seconds: self.retry_after_seconds,
        };
        let mut body = body.to_json().unwrap_or_default();
        if let Some((name, value)) = &self.extension {
            body[*name] = value.clone();
        }
        crate::event::json(&body)
    }

    /// The response, all but the body, which needs the request's id.
    pub fn head(&self) -> Response {
        let mut response = Response::builder().status(self.status()).finish();
        for (name, value) in &self.headers {
            response.headers_mut().append(name, value.clone());
        }
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// What the framework's own errors come to.
    #[must_use]
    pub fn from_framework(error: &poem::Error) -> Self {
        if let Some(problem) = error.data::<Self>() {
            return problem.clone();
        }
        if let Some(error) = error.downcast_ref::<ParseParamError>() {
            return Self::bad_request(format!("parameter {}: {}", error.name, error.reason));
        }
        if let Some(error) = error.downcast_ref::<ParsePathError>() {
            return Self::bad_request(format!("a parameter of the path: {}", error.reason));
        }
        if let Some(error) = error.downcast_ref::<ParseRequestPayloadError>() {
            return Self::bad_request(format!("the body: {}", error.reason));
        }
        if error.is::<ContentTypeError>() {
            return Self::new(
                Kind::UnsupportedMediaType,
                "the body must be application/json, said so in Content-Type",
            );
        }
        match error.status() {
            StatusCode::NOT_FOUND => Self::new(Kind::NotFound, "there is nothing at this path"),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(Kind::MethodNotAllowed, "this path does not have this method")
            }
            status if status.is_client_error() => {
                Self::bad_request("the request cannot be understood")
            }
            _ => Self::internal(error),
        }
    }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        let mut error = Self::from_status(problem.status());
        error.set_data(problem);
        error
    }
}

impl From<DbErr> for Problem {
    fn from(error: DbErr) -> Self {
        match error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self {
                cause: Some(error.to_string().into()),
                retry_after_seconds: Some(
                    crate::limit::jittered(std::time::Duration::from_secs(2)).as_secs(),
                ),
                ..Self::new(Kind::Unavailable, "the database is out of reach")
            },
            error => Self::internal(error),
        }
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Database(error) => Self::internal(error),
            PublishError::Closed => Self::new(Kind::Unavailable, "the service is ending"),
        }
    }
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        use crate::session::Ended;
        match error {
            SessionError::Ended(ended) => Self::invalid_token(match ended {
                Ended::Expired => "the session has expired",
                Ended::Revoked | Ended::RoleLowered => "the session has ended",
                Ended::UserDisabled => "the user is disabled",
            }),
            SessionError::Database(error) => error.into(),
        }
    }
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        match error {
            UserError::NotFound => Self::not_found(),
            UserError::NameInvalid => Self::bad_request(error.to_string()),
            UserError::NameTaken | UserError::LastAdmin => Self::conflict(error.to_string()),
            UserError::Database(error) => error.into(),
        }
    }
}

impl Problem {
    /// 429, counted.
    pub fn refused(refused: &Refused, telemetry: &Telemetry) -> Self {
        if refused.limit == crate::limit::SLOTS {
            telemetry.slot_refused();
        } else {
            telemetry.quota_refused(refused.limit);
        }
        let problem = Self {
            // Rounded up: coming back early would only be refused again.
            retry_after_seconds: Some(refused.retry_after.as_millis().div_ceil(1_000) as u64),
            ..Self::new(Kind::TooManyRequests, refused.message)
        };
        problem
            .header(super::RATELIMIT_POLICY, &refused.headers.policy)
            .header(super::RATELIMIT, &refused.headers.limit)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.head()
    }
}

impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        let documented = Kind::ALL.into_iter().filter(|kind| {
            // A path without the method is no operation; only event pages have something to lose.
            !matches!(kind, Kind::MethodNotAllowed | Kind::Gone)
        });
        MetaResponses { responses: documented.map(meta).collect() }
    }

    fn register(registry: &mut Registry) {
        Body::register(registry);
    }
}

/// What the document says of a kind of problem.
pub(super) fn meta(kind: Kind) -> MetaResponse {
    let header = |name: &str, description: &str| MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: false,
        deprecated: false,
        schema: String::schema_ref(),
    };
    MetaResponse {
        description: kind.description(),
        status: Some(kind.parts().0.as_u16()),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: "application/problem+json",
            schema: Body::schema_ref(),
        }],
        headers: match kind {
            Kind::Unauthenticated => {
                vec![header("WWW-Authenticate", "How to authenticate (RFC 6750, section 3)")]
            }
            Kind::TooManyRequests => vec![
                header("Retry-After", "Seconds to wait, jittered (RFC 9110, section 10.2.3)"),
                header("RateLimit", "What is left (draft-ietf-httpapi-ratelimit-headers)"),
                header("RateLimit-Policy", "The limit (draft-ietf-httpapi-ratelimit-headers)"),
            ],
            _ => Vec::new(),
        },
    }
}
