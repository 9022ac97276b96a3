//! Revocations of users of external issuers, and credentials that were issued before.

use std::time::Duration;

use entity::{Timestamp, user::Role};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    App, Caller,
    auth::{bearer, invalid_token},
    issuer::TestIssuer,
    time::next_second,
};

/// A client with a token without a `sid`. `change` adds or replaces claims.
fn without_sid(app: &App, issuer: &TestIssuer, change: &Value) -> Caller {
    let mut claims = issuer.claims("ada");
    let fields = claims.as_object_mut().expect("claims");
    fields.remove("sid");
    fields.extend(change.as_object().expect("claims").clone());
    bearer(app, &issuer.sign(&claims))
}

async fn revoke_user(app: &App, caller: &Caller) {
    let path = format!("/v1/users/{}/revoke", caller.id().await);
    assert_eq!(app.log_in("admin").await.post(&path, json!({})).await.status, 204);
}

#[tokio::test]
async fn revoked_user_is_refused_with_every_older_token() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let used = issuer.caller(&app, "ada", json!({ "sid": "used" }));
    let unused = issuer.caller(&app, "ada", json!({ "sid": "unused" }));
    let bare = without_sid(&app, &issuer, &json!({}));
    revoke_user(&app, &used).await;
    for caller in [&used, &unused, &bare] {
        invalid_token(caller.get("/v1/auth/me").await);
    }
    // A sweep forgets nothing of this.
    let later = Timestamp::now() + Duration::from_hours(1);
    app.gateway.login_sessions.prune(later).await.expect("a sweep");
    invalid_token(unused.get("/v1/auth/me").await);
    let now = next_second().await;
    issuer.caller(&app, "ada", json!({ "sid": "newer", "iat": now })).me().await;
    app.finish().await;
}

#[tokio::test]
async fn token_from_the_future_is_refused() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let now = Timestamp::now().seconds();
    // It would outlast a revocation.
    let early = issuer.caller(&app, "ada", json!({ "iat": now + 60, "exp": now + 300 }));
    assert_eq!(invalid_token(early.get("/v1/auth/me").await), "the token is not valid yet");
    app.finish().await;
}

#[tokio::test]
async fn stream_token_from_before_a_revocation_stays_refused() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let first = without_sid(&app, &issuer, &json!({}));
    let topology = app.active_topology(&first).await;
    let url = first.stream_url(topology).await;
    revoke_user(&app, &first).await;
    invalid_token(app.anyone().get(&url).await);
    let now = next_second().await;
    let second = without_sid(&app, &issuer, &json!({ "iat": now }));
    second.me().await;
    invalid_token(app.anyone().get(&url).await);
    let mut reader = app.anyone().stream(&second.stream_url(topology).await, "").await;
    reader.expect("snapshot").await;
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn stream_after_a_revocation_ends_with_its_token() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let first = without_sid(&app, &issuer, &json!({}));
    let topology = app.active_topology(&first).await;
    first.post("/v1/auth/logout", json!({})).await;
    let now = next_second().await;
    // The revoked token expires much later.
    let second = without_sid(&app, &issuer, &json!({ "iat": now, "exp": now + 3 }));
    let mut reader = second.watch(topology, "").await;
    reader.expect("snapshot").await;
    reader.expect("stream.expiring").await;
    assert_eq!(reader.expect("stream.closed").await.data["reason"], "session_expired");
    reader.expect_end().await;
    invalid_token(first.get("/v1/auth/me").await);
    app.finish().await;
}

#[tokio::test]
async fn api_key_follows_the_role_of_the_newest_token() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let now = Timestamp::now().seconds();
    let operator = issuer.caller(&app, "ada", json!({ "iat": now - 20 }));
    let created = operator.post("/v1/api-keys", json!({ "name": "k" })).await.ok();
    let key = bearer(&app, created["key"].as_str().expect("a key"));
    assert_eq!(key.me().await["role"], "operator");
    let lower = json!({ "iat": now - 10, "roles": ["guest"], "sid": "another" });
    issuer.caller(&app, "ada", lower).me().await;
    assert_eq!(key.me().await["role"], "viewer");
    key.post("/v1/topologies", json!({ "name": "t" })).await.problem(403);
    // An older token changes nothing, a newer one does.
    issuer.caller(&app, "ada", json!({ "iat": now - 15, "sid": "older" })).me().await;
    assert_eq!(key.me().await["role"], "viewer");
    issuer.caller(&app, "ada", json!({ "iat": now, "sid": "newer" })).me().await;
    assert_eq!(key.me().await["role"], "operator");
    app.finish().await;
}

#[tokio::test]
async fn cookie_of_an_external_session_ends_with_it() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let caller = without_sid(&app, &issuer, &json!({}));
    let origin = app.url("");
    let set = async |caller: &Caller, origin: Option<&str>| {
        let request = caller.request(Method::POST, "/v1/auth/cookie");
        let request =
            origin.iter().fold(request, |request, origin| request.header("origin", *origin));
        Caller::answer(request).await
    };
    set(&caller, None).await.problem(403);
    set(&caller, Some("https://evil.example.com")).await.problem(403);
    let answer = set(&caller, Some(&origin)).await;
    assert_eq!(answer.status, 204);
    let header = answer.headers["set-cookie"].to_str().expect("text");
    let (pair, attributes) = header.split_once("; ").expect("attributes");
    let age = attributes.split(';').next().and_then(|age| age.strip_prefix("Max-Age="));
    assert!(age.expect("an age").parse::<u64>().expect("seconds") <= 300, "{attributes}");
    let with_cookie = async || {
        let request = app.anyone().request(Method::GET, "/v1/auth/me").header("cookie", pair);
        Caller::answer(request).await
    };
    let me = with_cookie().await.ok();
    assert_eq!((&me["id"], &me["authenticated_by"]), (&json!(caller.id().await), &json!("cookie")));
    // A newer token starts the session again after a revocation, and not the cookie from before.
    revoke_user(&app, &caller).await;
    invalid_token(with_cookie().await);
    let now = next_second().await;
    without_sid(&app, &issuer, &json!({ "iat": now })).me().await;
    invalid_token(with_cookie().await);
    // A user with a password gets the cookie at the login.
    set(&app.caller(Role::Viewer).await, Some(&origin)).await.problem(403);
    app.finish().await;
}
