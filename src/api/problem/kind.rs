//! The kinds of problems: status, stable name, and description in the OpenAPI document.

use poem::http::StatusCode;

/// A kind of problem. The names in `type` are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Kind {
    /// The request is malformed, or has a value that is not valid.
    BadRequest,
    /// The credential is missing or not valid.
    Unauthenticated,
    /// The successor of the refresh token is in use.
    RefreshSuperseded,
    /// The owner of the resource needs a grant at an OAuth provider.
    AuthorizationRequired,
    /// The caller may not call the operation.
    Forbidden,
    /// The resource does not exist, or the caller may not see it.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The state of the resource does not allow the operation.
    Conflict,
    /// The event log cannot be read from the cursor. Events were pruned or replaced, or another topic has the cursor.
    Gone,
    /// The body is too large.
    PayloadTooLarge,
    /// The body has a media type that the operation does not accept.
    UnsupportedMediaType,
    /// A quota is used up, or no slot is free.
    TooManyRequests,
    /// The head of the request is too large.
    HeadTooLarge,
    /// The target of the request is too long.
    UriTooLong,
    /// The body has a transfer coding that the gateway does not know.
    NotImplemented,
    /// An internal error of the gateway.
    Internal,
    /// A dependency of the gateway is not available.
    Unavailable,
    /// The server behind a tunnel did not answer in time.
    GatewayTimeout,
    /// The disk of the database is full.
    InsufficientStorage,
}

impl Kind {
    pub(super) const ALL: [Self; 20] = [
        Self::BadRequest,
        Self::Unauthenticated,
        Self::RefreshSuperseded,
        Self::AuthorizationRequired,
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
        Self::GatewayTimeout,
        Self::InsufficientStorage,
    ];

    /// The status, the last part of `type`, and the `title`.
    pub(super) const fn definition(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "Bad request"),
            Self::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "unauthenticated", "Authentication required")
            }
            Self::RefreshSuperseded => {
                (StatusCode::UNAUTHORIZED, "refresh-superseded", "Refresh token superseded")
            }
            Self::AuthorizationRequired => {
                (StatusCode::UNAUTHORIZED, "authorization-required", "Authorization required")
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
            Self::Gone => (StatusCode::GONE, "gone", "Events no longer available"),
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
            Self::GatewayTimeout => {
                (StatusCode::GATEWAY_TIMEOUT, "gateway-timeout", "Gateway timeout")
            }
            Self::InsufficientStorage => {
                (StatusCode::INSUFFICIENT_STORAGE, "insufficient-storage", "Insufficient storage")
            }
        }
    }

    /// The description in the OpenAPI document.
    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::BadRequest => "A parameter, a header field or the body is missing or not valid",
            Self::Unauthenticated => {
                "The credential is missing, not valid or expired, or its login session has ended. \
                 `WWW-Authenticate` says which (RFC 6750)"
            }
            Self::RefreshSuperseded => "The successor of this refresh token is in use",
            Self::AuthorizationRequired => {
                "The owner must first link an account at an OAuth provider. `authorization_url` leads there"
            }
            Self::Forbidden => "The role or the stream token does not allow the operation",
            Self::NotFound => {
                "The resource does not exist, or the caller may not see it. Both get the same response"
            }
            Self::MethodNotAllowed => {
                "The path does not support this method. `Allow` lists the supported methods"
            }
            Self::RequestTimeout => "The body did not arrive in time",
            Self::Conflict => "The state of the resource does not allow the operation",
            Self::Gone => "The event log cannot be read from this cursor. Start without a cursor",
            Self::PayloadTooLarge => "The body is larger than the gateway accepts",
            Self::UnsupportedMediaType => {
                "`Content-Type` does not name a media type that the operation accepts"
            }
            Self::TooManyRequests => {
                "A quota is used up, or no slot is free. `Retry-After` says when to try again"
            }
            Self::HeadTooLarge => {
                "The head of the request is larger than the gateway accepts, or has more than 100 \
                 header fields over HTTP/1.1"
            }
            Self::UriTooLong => "The target of the request is longer than the gateway accepts",
            Self::NotImplemented => "The body has a transfer coding other than chunked",
            Self::Internal => {
                "An internal error. The gateway's log has the cause under the request id"
            }
            Self::Unavailable => "A dependency of the gateway is not available",
            Self::GatewayTimeout => "The MCP server behind the tunnel did not answer in time",
            Self::InsufficientStorage => {
                "The disk of the database is full, and nothing was written. `Retry-After` says when to \
                 try again"
            }
        }
    }
}
