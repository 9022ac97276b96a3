//! The caches for users, login sessions and visibility: they never return a value that has ended or
//! changed.

use std::{future::poll_fn, pin::pin, task::Poll};

use entity::user::Role;
use reqwest::Method;
use serde_json::json;
use streamgate::auth::login_session::SessionError;
use uuid::Uuid;

use crate::support::{
    App, Caller,
    auth::{bearer, invalid_token},
    id_of,
    user::patch,
};

#[tokio::test]
async fn known_caller_opens_a_known_stream_without_the_database() {
    let app = App::without_heartbeat().await;
    let operator = app.caller(Role::Operator).await;
    let stranger = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let by_header = format!("/v1/topologies/{topology}/stream");
    let by_token = operator.stream_url(topology).await;
    app.gateway.database.clone().close().await.expect("a closed database");

    // A HEAD is checked like a GET, and ends before the topology's state is read.
    for _ in 0..3 {
        assert_eq!(operator.call(Method::HEAD, &by_header, None).await.status, 200);
        assert_eq!(app.anyone().call(Method::HEAD, &by_token, None).await.status, 200);
        operator.me().await;
    }
    // The database is closed, so an unknown user and an unknown topology fail.
    let elsewhere = format!("/v1/topologies/{}/stream", Uuid::now_v7());
    for (caller, path) in [(&stranger, &by_header), (&operator, &elsewhere)] {
        let answer = caller.call(Method::HEAD, path, None).await;
        assert!(answer.status.is_server_error(), "{path}: {answer:?}");
    }
    // One miss for each of the two users, and one for the unknown topology. A topology is cached
    // when it is created.
    for (cache, looks) in [("token", 2.0), ("login_session", 2.0), ("visibility", 1.0)] {
        let [hits, misses] = ["hit", "miss"].map(|outcome| {
            let labels = format!("{{cache=\"{cache}\",outcome=\"{outcome}\"}}");
            app.metric(&format!("streamgate_cache_lookups_total{labels}"))
        });
        assert!(hits >= 6.0 && (misses - looks).abs() < f64::EPSILON, "{cache}: {hits}, {misses}");
    }
    app.finish().await;
}

#[tokio::test]
async fn revoked_user_is_refused_at_the_next_request() {
    let app = App::without_heartbeat().await;
    let admin = app.log_in("admin").await;
    let topology = app.active_topology(&admin).await;
    for (method, path, body) in [
        patch(json!({ "disabled": true })),
        patch(json!({ "password": "another password" })),
        (Method::POST, "/revoke", None),
        (Method::DELETE, "", None),
        (Method::POST, "/v1/auth/logout", None),
    ] {
        let victim = app.caller(Role::Operator).await;
        let by_token = victim.stream_url(topology).await;
        let id = victim.id().await;
        let (by, path) = match path {
            "/v1/auth/logout" => (&victim, path.to_owned()),
            path => (&admin, format!("/v1/users/{id}{path}")),
        };
        by.call(method, &path, body).await.ok();
        invalid_token(victim.get("/v1/auth/me").await);
        invalid_token(app.anyone().get(&by_token).await);
    }
    app.finish().await;
}

#[tokio::test]
async fn role_change_takes_effect_at_the_next_request() {
    let app = App::without_heartbeat().await;
    let admin = app.log_in("admin").await;
    let user = app.caller(Role::Viewer).await;
    let known = user.me().await;
    let path = format!("/v1/users/{}", id_of(&known));
    let make_as = async |user: &Caller| {
        let new = json!({ "name": format!("t-{}", Uuid::new_v4()) });
        user.post("/v1/topologies", new).await.status.as_u16()
    };
    let make = async || make_as(&user).await;
    for (change, status) in [
        (json!({}), 403),
        (json!({ "role": "operator" }), 201),
        (json!({ "role": "agent" }), 403),
        (json!({ "role": "admin" }), 201),
        (json!({ "disabled": true }), 401),
        // Enabling the user again does not restore the session.
        (json!({ "disabled": false }), 401),
    ] {
        admin.call(Method::PATCH, &path, Some(change.clone())).await.ok();
        assert_eq!(make().await, status, "{change}");
        assert_eq!(make().await, status, "{change}");
    }
    let again = app.log_in(known["username"].as_str().expect("a name")).await;
    assert_eq!(make_as(&again).await, 201);
    app.finish().await;
}

#[tokio::test]
async fn refresh_extends_a_cached_session() {
    let app = App::without_heartbeat().await;
    let pair = app.tokens("admin").await;
    let admin = bearer(&app, pair["access_token"].as_str().expect("a token"));
    let before = admin.me().await;
    let refresh = json!({ "refresh_token": pair["refresh_token"] });
    app.anyone().post("/v1/auth/refresh", refresh).await.ok();
    let after = admin.me().await;
    assert_ne!(after["session_expires_at"], before["session_expires_at"]);
    app.finish().await;
}

#[tokio::test]
async fn session_read_before_a_revocation_is_not_cached_after_it() {
    let app = App::without_heartbeat().await;
    let sessions = &app.gateway.login_sessions;
    let ada = app.create_user("ada", Role::Viewer).await;
    let mut raced = false;
    for _ in 0..100 {
        let principal = sessions.create(ada.clone()).await.expect("a session").principal;
        let (session, user) = (principal.session_id, principal.user_id);
        let mut look_up = pin!(sessions.validate(session, user));
        // The query is sent. Its result is read only after the session has ended.
        if poll_fn(|context| Poll::Ready(look_up.as_mut().poll(context))).await.is_ready() {
            // The result came at once, so the test tries again.
            continue;
        }
        sessions.revoke(session).await.expect("a revocation");
        raced |= look_up.await.is_ok();
        let next = sessions.validate(session, user).await;
        assert!(matches!(next, Err(SessionError::Ended(_))), "{next:?}");
        if raced {
            break;
        }
    }
    // PostgreSQL's driver sends other messages before the query, so the lookup may run after the
    // revocation there.
    assert!(
        raced || app.gateway.config.database.url.is_some(),
        "no lookup began before the revocation"
    );
    app.finish().await;
}
