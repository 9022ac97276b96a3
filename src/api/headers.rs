//! Names of response headers.

use poem::http::HeaderName;

/// The remaining quota (draft-ietf-httpapi-ratelimit-headers).
pub(super) const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The limits of the quota (draft-ietf-httpapi-ratelimit-headers).
pub(super) const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The id of the request.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
