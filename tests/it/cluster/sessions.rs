//! Users and login sessions that another gateway changes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use entity::{Timestamp, login_session, user::Role};
use reqwest::Method;
use sea_orm::{EntityTrait, prelude::Expr};
use serde_json::json;
use streamgate::bus::InProcessBus;

use crate::support::{
    App, Store,
    auth::{bearer, invalid_token},
    cluster::{DeadBus, pair},
    until,
    user::patch,
};

#[tokio::test]
async fn role_raised_at_another_gateway_keeps_the_next_stream_open() {
    let (one, two) = pair(Arc::new(DeadBus::default()), 60).await;
    let admin = one.log_in("admin").await;
    let operator = one.caller(Role::Operator).await;
    let topology = one.active_topology(&operator).await;
    let viewer = two.here(&one.caller(Role::Viewer).await);
    let mut first = viewer.watch(topology, "").await;
    first.expect("snapshot").await;
    let me = viewer.me().await;
    let path = format!("/v1/users/{}", me["id"].as_str().expect("an id"));
    admin.call(Method::PATCH, &path, Some(json!({ "role": "agent" }))).await.ok();
    let mut second = viewer.watch(topology, "").await;
    second.expect("snapshot").await;
    two.here(&operator).mutate(topology, 1).await.ok();
    for reader in [&mut first, &mut second] {
        reader.expect("mutation.enqueued").await;
    }
    drop((first, second));
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn cached_session_expires_unless_another_gateway_extended_it() {
    let (one, two) = pair(Arc::new(DeadBus::default()), 60).await;
    let mut callers = Vec::new();
    for name in ["ending", "prolonged"] {
        one.create_user(name, Role::Viewer).await;
        let pair = one.tokens(name).await;
        callers.push((bearer(&two, pair["access_token"].as_str().expect("a token")), pair));
    }
    let [(ending, _), (prolonged, pair)] = &callers[..] else { panic!("two callers") };
    let end = Timestamp::now() + Duration::from_secs(1);
    login_session::Entity::update_many()
        .col_expr(login_session::Column::ExpiresAt, Expr::value(end))
        .exec(one.gateway.database.writer())
        .await
        .expect("an update");
    ending.me().await;
    prolonged.me().await;
    let refresh = json!({ "refresh_token": pair["refresh_token"] });
    one.anyone().post("/v1/auth/refresh", refresh).await.ok();
    until("end of the session", async || {
        prolonged.me().await;
        let sent_at = Timestamp::now();
        let answer = ending.get("/v1/auth/me").await;
        if answer.status == 200 {
            assert!(sent_at < end, "accepted after the session had expired");
            return false;
        }
        assert_eq!(invalid_token(answer), "the login session has expired");
        true
    })
    .await;
    prolonged.me().await;
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn cached_access_token_expires_and_stays_refused_in_a_query() {
    let (store, bus) = (Store::new().await, Arc::new(InProcessBus::default()));
    // The test sets this in code, because a configuration file allows no value below 60.
    let one = App::on(store.clone(), bus.clone(), |config| config.tokens.access_seconds = 2).await;
    // This gateway would cache the token for longer if the token did not expire.
    let two = App::on(store, bus, |config| config.tokens.access_seconds = 900).await;
    let admin = two.here(&one.log_in("admin").await);
    let token = admin.token.clone().expect("a token");
    let in_query = async || {
        let path = format!("/v1/auth/me?stream_token={token}");
        let detail = invalid_token(two.anyone().get(&path).await);
        assert!(detail.starts_with("an access token must not be in a URL"), "{detail}");
    };
    in_query().await;
    admin.me().await;
    in_query().await;
    until("end of the token", async || {
        let answer = admin.get("/v1/auth/me").await;
        answer.status != 200 && invalid_token(answer) == "the token has expired"
    })
    .await;
    in_query().await;
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn revocation_takes_effect_when_its_message_arrives() {
    let (one, two) = pair(Arc::new(InProcessBus::default()), 60).await;
    let admin = one.log_in("admin").await;
    for (method, path, body) in [
        patch(json!({ "disabled": true })),
        (Method::POST, "/revoke", None),
        (Method::POST, "/v1/auth/logout", None),
    ] {
        let victim = one.caller(Role::Operator).await;
        let there = two.here(&victim);
        let id = there.id().await;
        let (by, path) = match path {
            "/v1/auth/logout" => (&victim, path.to_owned()),
            path => (&admin, format!("/v1/users/{id}{path}")),
        };
        by.call(method, &path, body).await.ok();
        until("revocation", async || there.get("/v1/auth/me").await.status == 401).await;
    }
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn change_takes_effect_within_one_heartbeat_without_a_bus() {
    let heartbeat = Duration::from_secs(1);
    let (one, two) = pair(Arc::new(DeadBus::default()), heartbeat.as_secs()).await;
    let admin = one.log_in("admin").await;
    for (method, path, body) in [
        patch(json!({ "disabled": true })),
        patch(json!({ "role": "viewer" })),
        (Method::POST, "/revoke", None),
    ] {
        let there = two.here(&one.caller(Role::Operator).await);
        let id = there.id().await;
        let path = format!("/v1/users/{id}{path}");
        admin.call(method, &path, body).await.ok();
        let deadline = Instant::now() + heartbeat;
        until("change", async || {
            let sent_at = Instant::now();
            let answer = there.get("/v1/auth/me").await;
            let as_before = answer.status == 200 && answer.body["role"] == "operator";
            assert!(!as_before || sent_at < deadline, "{path}");
            !as_before
        })
        .await;
    }
    two.finish().await;
    one.finish().await;
}
