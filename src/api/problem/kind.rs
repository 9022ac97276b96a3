//! The kinds of problems: status, stable name, what the OpenAPI document says.

use poem::http::StatusCode;

/// What went wrong, in kind. Names are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Kind {
    /// The request cannot be understood.
    BadRequest,
    /// Who calls is not known, or not any more.
    Unauthenticated,
    /// A refresh token whose successor is in use.
    RefreshSuperseded,
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
    /// It is no longer kept, or was replaced.
    Gone,
    /// The body is too large.
    PayloadTooLarge,
    /// The body is of another media type.
    UnsupportedMediaType,
    /// A limit is reached.
    TooManyRequests,
    /// The head of the request is too large.
    HeadTooLarge,
    /// The target of the request is too long, whatever the rest of the head.
    UriTooLong,
    /// The body is encoded in a way that the service does not know.
    NotImplemented,
    /// A fault of ours.
    Internal,
    /// Something that the service needs is out of reach.
    Unavailable,
    /// The disk of the database is full.
    InsufficientStorage,
}

impl Kind {
    pub(super) const ALL: [Self; 18] = [
        Self::BadRequest,
        Self::Unauthenticated,
        Self::RefreshSuperseded,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Conflict,
        Self::Gone,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::TooManyRequests,
        Self::HeadTooLarge,
        Self::UriTooLong,
        Self::NotImplemented,
        Self::Internal,
        Self::Unavailable,
        Self::InsufficientStorage,
    ];

    /// Status, last part of `type`, `title`.
    pub(super) const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "Bad request"),
            Self::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "unauthenticated", "Authentication required")
            }
            Self::RefreshSuperseded => {
                (StatusCode::UNAUTHORIZED, "refresh-superseded", "Refresh token superseded")
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
            Self::HeadTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head-too-large",
                "Request header fields too large",
            ),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "uri-too-long", "URI too long"),
            Self::NotImplemented => {
                (StatusCode::NOT_IMPLEMENTED, "not-implemented", "Not implemented")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Service unavailable")
            }
            Self::InsufficientStorage => {
                (StatusCode::INSUFFICIENT_STORAGE, "insufficient-storage", "Insufficient storage")
            }
        }
    }

    /// What the OpenAPI document says of the status.
    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::BadRequest => "A parameter or the body cannot be understood",
            Self::Unauthenticated => {
                "No credential, or one that is not valid, has expired or belongs to a session that \
                 has ended; `WWW-Authenticate` says which (RFC 6750)"
            }
            Self::RefreshSuperseded => "The successor of this refresh token is in use",
            Self::Forbidden => "The role or the stream token does not allow it",
            Self::NotFound => {
                "There is no such resource, or none that this caller may see: the answer is the same"
            }
            Self::MethodNotAllowed => "The path has no such method; `Allow` lists those it has",
            Self::RequestTimeout => "The body did not arrive in time",
            Self::Conflict => "The present state does not allow it",
            Self::Gone => "The event log cannot be read from this cursor on",
            Self::PayloadTooLarge => "The body is larger than this service takes",
            Self::UnsupportedMediaType => "The body is not of the documented media type",
            Self::TooManyRequests => {
                "A limit is reached; `Retry-After` says when to come back, with jitter"
            }
            Self::HeadTooLarge => {
                "The head of the request is larger than this service takes, or has more than 100 \
                 header fields over HTTP/1.1"
            }
            Self::UriTooLong => "The target of the request is longer than this service takes",
            Self::NotImplemented => "The body has a transfer coding other than chunked",
            Self::Internal => "A fault of the service; its log has the request id",
            Self::Unavailable => "Something that the service needs is out of reach",
            Self::InsufficientStorage => {
                "The disk of the database is full. Nothing was written; `Retry-After` says when to \
                 try again"
            }
        }
    }
}
