//! The values of labels that are known at the start.

/// The outcomes of an authentication.
pub(super) const AUTHENTICATIONS: [&str; 16] = [
    "early",
    "expired",
    "failed",
    "in_query",
    "invalid",
    "login",
    "login_refused",
    "missing",
    "not_admitted",
    "ok",
    "other_origin",
    "refresh",
    "refresh_refused",
    "refresh_reused",
    "refresh_superseded",
    "session_ended",
];

/// The values of labels that other layers choose. Their metrics are shown from the start, at zero. Otherwise a reader
/// could not tell a metric without a count from a metric that does not exist, and `rate()` would miss the first count.
#[derive(Clone, Debug, Default)]
pub struct KnownLabels {
    /// The families of resources.
    pub families: Vec<&'static str>,
    /// The reasons for the end of a stream.
    pub ends: Vec<&'static str>,
    /// The reasons why a cursor cannot be used.
    pub resets: Vec<&'static str>,
    /// The limits of rates.
    pub quotas: Vec<&'static str>,
    /// The limits of connections.
    pub connection_limits: Vec<&'static str>,
}
