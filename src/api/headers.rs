//! Names of headers.

use poem::http::HeaderName;

/// The caller's own id of the request, in the request and in its response.
pub(super) const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// Headers of responses that a page of another origin may read. A page may read `Content-Type` and a few others anyway.
pub(super) const EXPOSED_HEADERS: &str = "ETag, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, \
                                          X-Correlation-Id, X-Request-Id";

/// The remaining quota (draft-ietf-httpapi-ratelimit-headers).
pub(super) const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The limits of the quota (draft-ietf-httpapi-ratelimit-headers).
pub(super) const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The id of the request.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The trace that the request belongs to (W3C Trace Context).
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
