//! Lists of the operations to which a case does not apply, each with a reason.

use std::collections::BTreeSet;

use crate::{
    documented_statuses::walker::Walker,
    support::{App, openapi::operations},
};

const PAGE: &str = "a page for a browser, which the user logs in on";

/// Operations that need no credential, each with the reason.
const PUBLIC: &[(&str, &str)] = &[
    ("auth_login", "returns the first credential; see auth/login.rs and limits/quotas.rs"),
    ("auth_refresh", "the refresh token is the credential; see auth/refresh and limits/quotas.rs"),
    ("key_list", "returns the public keys that verify access tokens"),
    ("liveness_get", "called by orchestrators, which have no user"),
    ("readiness_get", "called by orchestrators, which have no user"),
    ("metrics_get", "called by Prometheus; a proxy must block requests from outside"),
    ("oauth_callback", PAGE),
    ("oauth_page_continue", PAGE),
    ("oauth_page_get", PAGE),
    ("oauth_page_login", PAGE),
    ("named_tunnel_metadata_get", "explains how to get a credential"),
    ("resource_metadata_get", "explains how to get a credential"),
    ("tunnel_metadata_get", "explains how to get a credential"),
    ("docs_get", "explains how to get a credential"),
    ("openapi_get", "explains how to get a credential"),
    ("openapi_3_2_get", "explains how to get a credential"),
];

/// Public operations that ignore a token, each with the reason.
pub const IGNORE_TOKENS: &[(&str, &str)] = &[
    ("auth_login", "a client that logs in may still send its old token"),
    ("auth_refresh", "a client that refreshes may still send its old token"),
    ("liveness_get", "an orchestrator must not restart a gateway because of a token"),
    ("readiness_get", "an orchestrator must not take a gateway out of service because of a token"),
    ("metrics_get", "Prometheus may send a token for a proxy"),
];

/// Operations that do not say which role they need, because every role may call them.
pub const ANY_ROLE: &[(&str, &str)] = &[
    ("auth_logout", "concerns the caller alone"),
    ("caller_get", "concerns the caller alone"),
    ("stream_token_mint", "needs the role of the stream, and every stream is open to viewers"),
];

/// Operations without an id that could be unknown, neither in the path nor in the body.
pub const NO_ID: &[(&str, &str)] = &[
    ("api_key_create", "returns the new id"),
    ("api_key_list", "returns an empty list"),
    ("audit_event_list", "returns an empty list"),
    ("auth_logout", "concerns the session of the caller"),
    ("blocked_tunnel_client_list", "returns an empty list"),
    ("caller_get", "concerns the session of the caller"),
    ("connection_list", "returns an empty list"),
    ("latency_get", "concerns the gateway"),
    ("mcp_session_create", "returns the new id"),
    ("mcp_session_list", "returns an empty list"),
    ("session_cookie_create", "concerns the session of the caller"),
    ("task_claim", "returns an empty list if no task waits"),
    ("task_create", "returns the new id"),
    ("task_list", "returns an empty list"),
    ("oauth_grant_list", "returns an empty list"),
    ("oauth_provider_list", "returns an empty list"),
    ("prompt_claim", "returns an empty list if no prompt waits"),
    ("shared_tunnel_list", "returns an empty list"),
    ("session_create", "returns the new id"),
    ("session_list", "returns an empty list"),
    ("topology_create", "returns the new id"),
    ("topology_list", "returns an empty list"),
    ("tunnel_connect", "gives the client its tunnel or a new one"),
    ("tunnel_connect_short", "gives the client its tunnel or a new one"),
    ("tunnel_connect_v1", "gives the client its tunnel or a new one"),
    ("tunnel_list", "returns an empty list"),
    ("user_create", "returns the new id"),
    ("user_list", "returns an empty list"),
];

/// Operations on the caller's own resources. The id of another user is a 403, whether that user
/// exists or not.
pub const OWN: &[(&str, &str)] = &[
    ("notification_list", "a user's notifications"),
    ("notification_update", "a user's notifications"),
    ("notification_stream", "a user's notifications"),
    ("notification_list_events", "a user's notifications"),
];

pub fn is_in(list: &[(&str, &str)], id: &str) -> bool {
    list.iter().any(|(name, _)| *name == id)
}

#[tokio::test]
async fn lists_of_exceptions_match_the_document() {
    let walker = Walker::over(App::start().await).await;
    let all = operations(&walker.document);
    let found: BTreeSet<_> = all.iter().filter(|found| found.is_public()).map(|it| it.id).collect();
    let listed: BTreeSet<_> = PUBLIC.iter().map(|(id, _)| *id).collect();
    assert_eq!(found, listed, "operations without `security`, and the list PUBLIC");
    for (id, _) in IGNORE_TOKENS {
        assert!(found.contains(id), "{id} is not a public operation");
    }
    for (id, _) in ANY_ROLE.iter().chain(NO_ID).chain(OWN) {
        assert!(
            all.iter().any(|it| it.id == *id && !it.is_public()),
            "{id} is not in the document"
        );
    }
    drop(all);
    walker.app.finish().await;
}
