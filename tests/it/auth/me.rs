//! `GET /v1/auth/me`: the rights and the limits of the caller.

use entity::user::Role;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    App,
    auth::bearer,
    browser::{grant, link},
    openapi::assert_none,
    provider::TestProvider,
    topology::operator_with_topology,
};

/// One operation for each right in each family.
const OPERATIONS: &[(&str, &str, &str, &str)] = &[
    ("topology", "watch", "GET", "/v1/topologies/ID"),
    ("topology", "create", "POST", "/v1/topologies"),
    ("topology", "change", "POST", "/v1/topologies/ID/status"),
    ("topology", "change", "POST", "/v1/topologies/ID/mutations"),
    ("topology", "work", "POST", "/v1/topologies/ID/mutations/claim"),
    ("notification", "watch", "GET", "/v1/users/ME/notifications"),
    ("notification", "create", "POST", "/v1/users/ME/notifications"),
    ("notification", "change", "POST", "/v1/users/ME/notifications/ID/read"),
    ("mcp_session", "watch", "GET", "/v1/mcp-sessions/ID"),
    ("mcp_session", "create", "POST", "/v1/mcp-sessions"),
    ("mcp_session", "change", "DELETE", "/v1/mcp-sessions/ID"),
    ("task", "watch", "GET", "/v1/tasks/ID"),
    ("task", "create", "POST", "/v1/tasks"),
    ("task", "change", "POST", "/v1/tasks/ID/cancel"),
    ("task", "work", "POST", "/v1/tasks/claim"),
    ("prompt", "watch", "GET", "/v1/sessions/ID"),
    ("prompt", "create", "POST", "/v1/sessions"),
    ("prompt", "change", "POST", "/v1/sessions/ID/prompts/ID/cancel"),
    ("prompt", "work", "POST", "/v1/prompts/claim"),
    ("tunnel", "watch", "GET", "/reverse-proxy/sessions/ID"),
    ("tunnel", "create", "GET", "/reverse-proxy/ws"),
    ("tunnel", "change", "DELETE", "/reverse-proxy/sessions/ID"),
];

fn rights(me: &Value, family: &str) -> Vec<String> {
    let all = me["permissions"].as_array().expect("permissions");
    let found = all.iter().find(|entry| entry["family"] == family).expect("the family");
    let names = found["permissions"].as_array().expect("names");
    names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

fn limit<'a>(me: &'a Value, name: &str) -> &'a Value {
    let all = me["limits"].as_array().expect("limits");
    all.iter().find(|limit| limit["name"] == name).expect("the limit")
}

#[tokio::test]
async fn permissions_are_those_that_operations_check() {
    let app = App::start().await;
    let mut faults = Vec::new();
    for role in [Role::Viewer, Role::Agent, Role::Operator, Role::Admin] {
        let caller = app.caller(role).await;
        let me = caller.me().await;
        for (family, right, method, path) in OPERATIONS {
            let id = Uuid::now_v7().to_string();
            let path = path.replace("ID", &id).replace("ME", me["id"].as_str().expect("an id"));
            let answer =
                caller.call(method.parse().expect("a method"), &path, Some(json!({}))).await;
            let is_allowed = answer.status != 403;
            if is_allowed != rights(&me, family).iter().any(|known| known == right) {
                faults.push(format!("{role:?} {method} {path}: {}", answer.status));
            }
        }
    }
    assert_none(&faults);
    let viewer = app.caller(Role::Viewer).await.me().await;
    let mut named: Vec<_> =
        OPERATIONS.iter().map(|(family, right, ..)| (*family, *right)).collect();
    named.dedup();
    // Every right that an administrator has is in the list, except the work of MCP sessions: an agent publishes there as
    // the owner does, see mcp_sessions/messages.rs.
    let admin = app.log_in("admin").await.me().await;
    for entry in admin["permissions"].as_array().expect("permissions") {
        let family = entry["family"].as_str().expect("a name");
        for right in rights(&admin, family) {
            let is_named = named.contains(&(family, &right));
            assert!(is_named || (family, &*right) == ("mcp_session", "work"), "{family} {right}");
        }
    }
    assert_eq!(rights(&viewer, "topology"), ["watch"]);
    app.finish().await;
}

#[tokio::test]
async fn limits_show_how_much_is_used() {
    let app = App::with(|config| {
        config.limits.streams_per_user = 3;
        // So few that no use is forgotten during the test.
        config.limits.requests_per_minute = 8;
        config.limits.stream_opens_per_minute = 4;
    })
    .await;
    let (operator, topology) = operator_with_topology(&app).await;
    let viewer = app.caller(Role::Viewer).await;
    let mut streams = Vec::new();
    for used in 0..3 {
        let me = viewer.me().await;
        let streams_now = json!({ "name": "streams", "limit": 3, "used": used });
        assert_eq!(*limit(&me, "streams"), streams_now);
        assert_eq!(limit(&me, "stream-opens")["used"], used);
        assert_eq!(limit(&me, "requests")["used"], used + 1, "the reading itself counts");
        assert_eq!(limit(&me, "requests")["window_seconds"], 60);
        let mut stream = viewer.watch(topology, "").await;
        stream.expect("snapshot").await;
        streams.push(stream);
    }
    drop(streams);
    drop(operator);
    app.finish().await;
}

#[tokio::test]
async fn linked_accounts_and_their_end_are_shown() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let viewer = app.caller(Role::Viewer).await;
    assert_eq!(viewer.me().await["oauth_grants"], json!([]));
    link(&app, &viewer).await;
    let me = viewer.me().await;
    let [shown] = me["oauth_grants"].as_array().expect("grants").as_slice() else {
        panic!("{me}");
    };
    assert_eq!((&shown["provider"], &shown["status"]), (&json!("github"), &json!("active")));
    assert!(shown["access_expires_at"].is_string(), "{me}");
    assert_eq!(*shown, grant(&viewer).await);
    assert_eq!(app.caller(Role::Viewer).await.me().await["oauth_grants"], json!([]));
    assert!(me.get("issuer").is_none() && me.get("display_name").is_none(), "{me}");
    app.finish().await;
}

#[tokio::test]
async fn credential_of_the_request_is_named() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    assert_eq!(operator.me().await["authenticated_by"], "access_token");
    let key = operator.post("/v1/api-keys", json!({ "name": "k" })).await.ok();
    let key = bearer(&app, key["key"].as_str().expect("a key"));
    assert_eq!(key.me().await["authenticated_by"], "api_key");
    let session = operator.me().await;
    assert!(session["session_ends_at"].as_str() > session["session_expires_at"].as_str());
    key.call(Method::GET, "/v1/auth/me", None).await.ok();
    app.finish().await;
}
