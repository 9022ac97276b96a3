//! The refusal of a limit.

use std::time::Duration;

/// A limit refused the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// Name of the limit in headers and metrics.
    pub limit: &'static str,
    /// Message for the client.
    pub message: &'static str,
    /// Time to wait before a retry. Jittered, so that refused clients do not all retry at once.
    pub retry_after: Duration,
    /// Rate limit headers of the response.
    pub headers: Headers,
}

/// Values of the rate limit headers (draft-ietf-httpapi-ratelimit-headers-10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Value of `RateLimit-Policy`.
    pub policy: String,
    /// Value of `RateLimit`.
    pub limit: String,
}

/// Adds a random time to `wait`, or to one second if `wait` is shorter. The added time is at most half of that plus one
/// second.
#[must_use]
pub fn jittered(wait: Duration) -> Duration {
    let wait = wait.max(Duration::from_secs(1));
    wait + (wait / 2 + Duration::from_secs(1)).mul_f64(rand::random::<f64>())
}
