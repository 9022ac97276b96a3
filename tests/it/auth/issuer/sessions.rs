//! The login sessions of external tokens: one for each (issuer, `sub`, `sid`).

use std::time::Duration;

use entity::{Timestamp, login_session, user::Role};
use futures_util::future::join_all;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};

use crate::support::{App, auth::invalid_token, issuer::TestIssuer, time::next_second, until};

const ENDED: &str = "the login session has ended";

/// A later `exp` than that of other tokens.
fn later(seconds: i64) -> Value {
    json!(Timestamp::now().seconds() + 300 + seconds)
}

#[tokio::test]
async fn simultaneous_first_requests_share_one_user_and_session() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let sessions = async || {
        login_session::Entity::find().count(app.gateway.database.reader()).await.expect("a count")
    };
    let before = sessions().await;
    let callers: Vec<_> = (0..8).map(|_| issuer.caller(&app, "ada", json!({}))).collect();
    let ids = join_all(callers.iter().map(crate::support::Caller::id)).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(app.metric("streamgate_login_session_validation_seconds_count") >= 8.0);
    assert_eq!(sessions().await, before + 1);
    issuer.caller(&app, "ada", json!({ "sid": "another" })).me().await;
    issuer.caller(&app, "ada", json!({ "sid": null })).get("/v1/auth/me").await.problem(401);
    assert_eq!(sessions().await, before + 2);
    app.finish().await;
}

#[tokio::test]
async fn newer_token_prolongs_an_open_stream() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let topology = app.active_topology(&app.caller(Role::Operator).await).await;
    let now = Timestamp::now().seconds();
    let first = issuer.caller(&app, "ada", json!({ "exp": now + 5 }));
    let mut reader = first.watch(topology, "").await;
    reader.expect("snapshot").await;
    reader.expect("stream.expiring").await;
    let second = issuer.caller(&app, "ada", json!({ "exp": now + 120 }));
    second.me().await;
    // The older token ends by its own time, and does not shorten the session.
    until("end of the first token", async || Timestamp::now().seconds() >= now + 5).await;
    assert_eq!(invalid_token(first.get("/v1/auth/me").await), "the token has expired");
    second.mutate(topology, 1).await.ok();
    reader.expect("mutation.enqueued").await;
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn stream_ends_with_the_last_token() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let topology = app.active_topology(&app.caller(Role::Operator).await).await;
    let exp = Timestamp::now().seconds() + 2;
    let caller = issuer.caller(&app, "ada", json!({ "exp": exp }));
    let mut reader = caller.watch(topology, "").await;
    reader.expect("snapshot").await;
    reader.expect("stream.expiring").await;
    assert_eq!(reader.expect("stream.closed").await.data["reason"], "session_expired");
    reader.expect_end().await;
    app.finish().await;
}

#[tokio::test]
async fn external_caller_mints_stream_tokens() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let caller = issuer.caller(&app, "ada", json!({}));
    let topology = app.active_topology(&caller).await;
    let url = caller.stream_url(topology).await;
    let mut reader = app.anyone().stream(&url, "").await;
    reader.expect("snapshot").await;
    caller.post("/v1/auth/logout", json!({})).await;
    assert_eq!(reader.expect("stream.closed").await.data["reason"], "session_revoked");
    reader.expect_end().await;
    app.finish().await;
}

async fn revoke(app: &App, caller: &crate::support::Caller) {
    let path = format!("/v1/users/{}/revoke", caller.id().await);
    app.log_in("admin").await.post(&path, json!({})).await.ok();
}

#[tokio::test]
async fn revoked_session_refuses_newer_tokens_too() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let topology = app.active_topology(&app.caller(Role::Operator).await).await;
    let caller = issuer.caller(&app, "ada", json!({}));
    let mut reader = caller.watch(topology, "").await;
    reader.expect("snapshot").await;
    revoke(&app, &caller).await;
    assert_eq!(reader.expect("stream.closed").await.data["reason"], "session_revoked");
    reader.expect_end().await;
    assert_eq!(invalid_token(caller.get("/v1/auth/me").await), ENDED);
    let now = next_second().await;
    let newer = issuer.caller(&app, "ada", json!({ "exp": later(60), "iat": now }));
    assert_eq!(invalid_token(newer.get("/v1/auth/me").await), ENDED);
    // A sweep does not delete the row before the newer token has expired.
    let cutoff = Timestamp::now() + Duration::from_secs(330);
    app.gateway.login_sessions.prune(cutoff).await.expect("a sweep");
    assert_eq!(invalid_token(newer.get("/v1/auth/me").await), ENDED);
    // Another session of the user is not concerned.
    issuer.caller(&app, "ada", json!({ "sid": "another", "iat": now })).me().await;
    app.finish().await;
}

#[tokio::test]
async fn token_that_expires_earlier_does_not_shorten_a_revocation() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let caller = issuer.caller(&app, "ada", json!({}));
    caller.me().await;
    revoke(&app, &caller).await;
    let exp = Timestamp::now().seconds() + 2;
    let short = issuer.caller(&app, "ada", json!({ "exp": exp }));
    assert_eq!(invalid_token(short.get("/v1/auth/me").await), ENDED);
    until("end of the short token", async || Timestamp::now().seconds() >= exp).await;
    let newer = issuer.caller(&app, "ada", json!({ "iat": Timestamp::now().seconds() }));
    assert_eq!(invalid_token(newer.get("/v1/auth/me").await), ENDED);
    app.finish().await;
}

#[tokio::test]
async fn revocation_without_a_session_id_ends_earlier_tokens() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let now = Timestamp::now().seconds();
    let without_sid = |issued_at: i64, change: Value| {
        let mut claims = issuer.claims("ada");
        let fields = claims.as_object_mut().expect("claims");
        fields.remove("sid");
        fields.insert("iat".to_owned(), json!(issued_at));
        fields.extend(change.as_object().expect("claims").clone());
        crate::support::auth::bearer(&app, &issuer.sign(&claims))
    };
    let known = without_sid(now - 20, json!({}));
    revoke(&app, &known).await;
    assert_eq!(invalid_token(known.get("/v1/auth/me").await), ENDED);
    let unknown = without_sid(now - 10, json!({ "exp": later(90) }));
    assert_eq!(invalid_token(unknown.get("/v1/auth/me").await), ENDED);
    // A sweep does not delete the row before this token has expired.
    let cutoff = Timestamp::now() + Duration::from_secs(330);
    app.gateway.login_sessions.prune(cutoff).await.expect("a sweep");
    assert_eq!(invalid_token(unknown.get("/v1/auth/me").await), ENDED);
    let newer = without_sid(now + 20, json!({}));
    newer.me().await;
    // An earlier token does not change the role of the session either.
    let lower = without_sid(now - 5, json!({ "exp": later(120), "roles": ["guest"] }));
    for caller in [&known, &unknown, &lower] {
        assert_eq!(invalid_token(caller.get("/v1/auth/me").await), ENDED);
    }
    assert_eq!(newer.me().await["role"], "operator");
    app.finish().await;
}

#[tokio::test]
async fn session_of_a_disabled_user_ends() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let topology = app.active_topology(&app.caller(Role::Operator).await).await;
    let caller = issuer.caller(&app, "ada", json!({}));
    let mut reader = caller.watch(topology, "").await;
    reader.expect("snapshot").await;
    let path = format!("/v1/users/{}", caller.id().await);
    let admin = app.log_in("admin").await;
    admin.call(reqwest::Method::PATCH, &path, Some(json!({ "disabled": true }))).await.ok();
    assert_eq!(reader.expect("stream.closed").await.data["reason"], "user_disabled");
    reader.expect_end().await;
    for sid in ["session of ada", "another"] {
        let newer = issuer.caller(&app, "ada", json!({ "sid": sid, "exp": later(60) }));
        invalid_token(newer.get("/v1/auth/me").await);
    }
    app.finish().await;
}

#[tokio::test]
async fn cached_external_token_needs_no_database() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let caller = issuer.caller(&app, "ada", json!({}));
    let topology = app.active_topology(&caller).await;
    caller.me().await;
    app.rename_table("login_session", "hidden").await;
    app.rename_table("\"user\"", "hidden_user").await;
    let page = format!("/v1/topologies/{topology}/events");
    let answer = caller.get(&page).await;
    app.rename_table("hidden_user", "\"user\"").await;
    app.rename_table("hidden", "login_session").await;
    answer.ok();
    app.finish().await;
}
