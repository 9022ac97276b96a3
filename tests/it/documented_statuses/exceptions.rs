//! Lists of the operations to which a case does not apply, each with a reason.

use std::collections::BTreeSet;

use crate::{
    documented_statuses::walker::Walker,
    support::{App, openapi::operations},
};

/// Operations that need no credential, and why.
const PUBLIC: &[(&str, &str)] = &[
    ("auth_login", "gives the first credential; its own 401 and 429: auth.rs, quota.rs"),
    ("auth_refresh", "the refresh token is the credential; its own 401 and 429: auth.rs, quota.rs"),
    ("key_list", "public keys, for those who verify access tokens"),
    ("liveness_get", "asked by orchestrators, which have no user"),
    ("readiness_get", "asked by orchestrators, which have no user"),
    ("metrics_get", "asked by Prometheus, kept from the outside by the proxy in front"),
    ("docs_get", "explains how to get a credential"),
    ("openapi_get", "explains how to get a credential"),
    ("openapi_3_2_get", "explains how to get a credential"),
];

/// Operations that do not say which role they need, because every role may call them.
pub const ANY_ROLE: &[(&str, &str)] = &[
    ("auth_logout", "concerns the caller alone"),
    ("caller_get", "concerns the caller alone"),
    ("stream_token_mint", "needs the role of the stream, and every stream is open to viewers"),
];

/// Operations without an id that could be unknown, neither in the path nor in the body.
pub const NO_ID: &[(&str, &str)] = &[
    ("auth_logout", "concerns the session of the caller"),
    ("caller_get", "concerns the session of the caller"),
    ("connection_list", "an empty list is an answer"),
    ("mcp_session_create", "gives the id"),
    ("mcp_session_list", "an empty list is an answer"),
    ("task_claim", "takes what there is of these skills"),
    ("task_create", "gives the id"),
    ("task_list", "an empty list is an answer"),
    ("prompt_claim", "nothing to do is an answer"),
    ("session_create", "gives the id"),
    ("session_list", "an empty list is an answer"),
    ("topology_create", "gives the id"),
    ("topology_list", "an empty list is an answer"),
    ("user_create", "gives the id"),
    ("user_list", "an empty list is an answer"),
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
    for (id, _) in ANY_ROLE.iter().chain(NO_ID).chain(OWN) {
        assert!(all.iter().any(|it| it.id == *id && !it.is_public()), "{id} is not there");
    }
    drop(all);
    walker.app.finish().await;
}

#[tokio::test]
async fn public_operations_ignore_every_credential() {
    let walker = Walker::over(App::start().await).await;
    let mut garbage = walker.app.anyone();
    garbage.token = Some("garbage".to_owned());
    for operation in operations(&walker.document).iter().filter(|found| found.is_public()) {
        for caller in [&walker.app.anyone(), &garbage] {
            let answer = walker.send(caller, operation, &[]).await;
            match operation.body(&walker.document) {
                None => assert_eq!(answer.status, 200, "{}", operation.id),
                // The credential is in the body, and the one of the example is not valid here.
                Some(_) => {
                    assert_ne!(answer.problem(401), "this operation requires a bearer token");
                }
            }
        }
    }
    walker.app.finish().await;
}
