//! Quotas: requests, stream opens and logins per minute.

use std::collections::BTreeSet;

use entity::user::Role;
use serde_json::json;

use crate::support::{Answer, App, Caller, PASSWORD, auth::refresh};

async fn log_in(app: &App, username: &str) -> Answer {
    let login = json!({ "username": username, "password": PASSWORD });
    app.anyone().post("/v1/auth/login", login).await
}

/// Checks a refusal by this quota, and returns the seconds to wait. The next request is allowed
/// after at most `60 / per_minute` seconds.
#[track_caller]
fn refused(answer: Answer, limit: &str, per_minute: u64) -> u64 {
    let text = |name: &str| answer.headers[name].to_str().expect("text").to_owned();
    assert_eq!(text("ratelimit-policy"), format!("\"{limit}\";q={per_minute};w=60"));
    let rate_limit = text("ratelimit");
    let left = rate_limit.strip_prefix(&format!("\"{limit}\";r=0;t=")).expect("nothing left");
    let left: u64 = left.parse().expect("seconds");
    assert!((1..=60 / per_minute).contains(&left), "{left}");
    let wait: u64 = text("retry-after").parse().expect("seconds");
    // At least the time until the quota allows a request, at most 1.5 times that and a second,
    // rounded up.
    assert!((left - 1..=left + left / 2 + 3).contains(&wait), "{left} {wait}");
    assert_eq!(answer.body["retry_after_seconds"], wait);
    let kind = "https://streamgate.dev/problems/too-many-requests";
    assert_eq!(answer.body["type"], kind);
    answer.problem(429);
    wait
}

#[tokio::test]
async fn logins_are_limited_per_name_even_for_unknown_names() {
    let app = App::with(|config| config.limits.logins_per_minute_per_user = 2).await;
    for name in ["admin", "nobody", "NOT A NAME"] {
        let expected = if name == "admin" { 200 } else { 401 };
        for _ in 0..2 {
            assert_eq!(log_in(&app, name).await.status, expected);
        }
        // The right password is refused, too.
        refused(log_in(&app, name).await, "logins-user", 2);
    }
    let counted = app.metric("streamgate_quota_refused_total{limit=\"logins-user\"}");
    assert!((counted - 3.0).abs() < f64::EPSILON, "{counted}");
    app.finish().await;
}

#[tokio::test]
async fn refreshes_are_limited_per_session() {
    let app = App::with(|config| config.limits.refreshes_per_minute_per_session = 2).await;
    let (one, other) = (app.tokens("admin").await, app.tokens("admin").await);
    let mut newest = one.clone();
    for _ in 0..2 {
        newest = refresh(&app, &newest).await.ok();
    }
    refused(refresh(&app, &newest).await, "refreshes-session", 2);
    // An old token of the session counts too, and the other session is not affected.
    refused(refresh(&app, &one).await, "refreshes-session", 2);
    refresh(&app, &other).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn logins_and_refreshes_are_limited_per_address() {
    let app = App::with(|config| config.limits.logins_per_minute_per_address = 4).await;
    log_in(&app, "admin").await.ok();
    log_in(&app, "nobody").await.problem(401);
    let refresh = json!({ "refresh_token": "unknown" });
    for _ in 0..2 {
        app.anyone().post("/v1/auth/refresh", refresh.clone()).await.problem(401);
    }
    refused(log_in(&app, "somebody").await, "logins-address", 4);
    refused(app.anyone().post("/v1/auth/refresh", refresh).await, "logins-address", 4);
    app.finish().await;
}

#[tokio::test]
async fn requests_are_limited_per_user_over_all_sessions() {
    let app = App::with(|config| config.limits.requests_per_minute = 3).await;
    let (first, second) = (app.log_in("admin").await, app.log_in("admin").await);
    first.me().await;
    // A request that is refused for another reason counts as well.
    first.get("/v1/users/not-an-id").await.problem(400);
    second.me().await;
    for caller in [&first, &second] {
        refused(caller.get("/v1/auth/me").await, "requests", 3);
        // The quota is checked before role and parameters, so a 429 says nothing about either.
        refused(caller.get("/v1/users/not-an-id").await, "requests", 3);
    }
    app.caller(Role::Viewer).await.me().await;
    // A request without a credential uses no user's quota.
    app.anyone().get("/v1/auth/me").await.problem(401);
    app.finish().await;
}

#[tokio::test]
async fn stream_opens_over_their_own_limit_take_no_slot() {
    let app = App::with(|config| {
        config.limits.stream_opens_per_minute = 2;
        config.limits.streams_per_user = 5;
    })
    .await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut reader = operator.watch(topology, "").await;
        reader.expect("snapshot").await;
        open.push(reader);
    }
    let path = format!("/v1/topologies/{topology}/stream");
    refused(operator.get(&path).await, "stream-opens", 2);
    assert_eq!(app.gateway.limits.open_slots(), 2);
    operator.me().await;
    app.caller(Role::Viewer).await.watch(topology, "").await.expect("snapshot").await;
    drop(open);
    app.finish().await;
}

#[tokio::test]
async fn refusals_at_the_same_time_get_different_retry_times() {
    let app = App::with(|config| config.limits.requests_per_minute = 1).await;
    let caller: Caller = app.log_in("admin").await;
    caller.me().await;
    let mut waits = BTreeSet::new();
    for _ in 0..20 {
        waits.insert(refused(caller.get("/v1/auth/me").await, "requests", 1));
    }
    // Of 30 values, 20 draws give fewer than 5 with a probability below 10^-12.
    assert!(waits.len() >= 5, "{waits:?}");
    app.finish().await;
}

#[tokio::test]
async fn requests_and_stream_opens_are_counted_per_user_and_minute() {
    let app = App::with(|config| {
        config.limits.requests_per_minute = 8;
        config.limits.stream_opens_per_minute = 3;
    })
    .await;
    let operator = app.caller(Role::Operator).await;
    let id = app.active_topology(&operator).await;
    let viewer = app.caller(Role::Viewer).await;
    for _ in 0..3 {
        viewer.watch(id, "").await.expect("snapshot").await;
    }
    let refused = viewer.watch(id, "").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.header("ratelimit-policy"), Some("\"stream-opens\";q=3;w=60"));
    for _ in 0..8 {
        viewer.me().await;
    }
    let refused = viewer.get("/v1/auth/me").await;
    assert_eq!(refused.headers["ratelimit-policy"], "\"requests\";q=8;w=60");
    let limit = refused.headers["ratelimit"].to_str().expect("ASCII").to_owned();
    assert!(limit.starts_with("\"requests\";r=0;t="), "{limit}");
    assert!(refused.headers.contains_key("retry-after"));
    refused.problem(429);
    operator.me().await;
    app.finish().await;
}
