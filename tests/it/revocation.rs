//! Streams end when their login session ends, or when their user is disabled, is deleted or gets a
//! lower role.

use std::time::Duration;

use entity::{
    Timestamp, login_session,
    user::{self, Role},
};
use reqwest::Method;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, prelude::Expr};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::support::{
    App, Caller, SseReader,
    auth::{bearer, invalid_token},
    id_of, soon, until,
};

/// Opens the stream by access token and by stream token.
async fn watch_both_ways(caller: &Caller, topology: Uuid) -> [SseReader; 2] {
    let minted = caller.mint(topology).await;
    let mut anyone = caller.clone();
    anyone.token = None;
    let url = minted["url"].as_str().expect("a URL");
    let mut readers = [caller.watch(topology, "").await, anyone.stream(url, "").await];
    for reader in &mut readers {
        reader.expect("snapshot").await;
    }
    readers
}

async fn expect_closed(readers: &mut [SseReader], reason: &str) {
    for reader in readers {
        // The time limit is for the whole wait, because every heartbeat would start a new one.
        let closed = soon("end of the stream", reader.expect("stream.closed")).await;
        assert_eq!(closed.data, json!({ "reason": reason }));
        reader.expect_end().await;
    }
}

/// A request to a path below a user: method, path and body.
type Change = (Method, &'static str, Option<Value>);

#[tokio::test]
async fn revoked_access_ends_open_streams_at_once_with_its_reason() {
    let app = App::without_heartbeat().await;
    let admin = app.log_in("admin").await;
    let topology = app.active_topology(&admin).await;
    let bystander = app.caller(Role::Viewer).await;
    let [mut by_header, mut by_token] = watch_both_ways(&bystander, topology).await;
    let patch = |change: Value| (Method::PATCH, "", Some(change));
    let changes: [(Change, &str); 6] = [
        (patch(json!({ "role": "agent" })), "role_lowered"),
        (patch(json!({ "role": "viewer" })), "role_lowered"),
        (patch(json!({ "disabled": true })), "user_disabled"),
        (patch(json!({ "password": "another password" })), "session_revoked"),
        ((Method::POST, "/revoke", None), "session_revoked"),
        ((Method::DELETE, "", None), "session_revoked"),
    ];
    for (number, ((method, path, body), reason)) in (1..).zip(changes) {
        let victim = app.caller(Role::Operator).await;
        let mut readers = watch_both_ways(&victim, topology).await;
        let id = victim.id().await;
        admin.call(method, &format!("/v1/users/{id}{path}"), body).await.ok();
        expect_closed(&mut readers, reason).await;
        // The streams of other users continue.
        admin.mutate(topology, number).await.ok();
        for reader in [&mut by_header, &mut by_token] {
            let data = reader.expect("mutation.enqueued").await.data;
            assert_eq!(data["payload"]["number"], number);
        }
    }
    for (reason, count) in [("role_lowered", 4.0), ("user_disabled", 2.0), ("session_revoked", 6.0)]
    {
        let sample =
            format!("streamgate_streams_closed_total{{family=\"topology\",reason=\"{reason}\"}}");
        until("count", async || (app.metric(&sample) - count).abs() < f64::EPSILON).await;
    }
    drop((by_header, by_token));
    app.finish().await;
}

#[tokio::test]
async fn logout_ends_only_the_streams_of_its_session() {
    let app = App::without_heartbeat().await;
    let admin = app.log_in("admin").await;
    let topology = app.active_topology(&admin).await;
    app.create_user("ada", Role::Viewer).await;
    let (leaving, staying) = (app.log_in("ada").await, app.log_in("ada").await);
    let mut ending = watch_both_ways(&leaving, topology).await;
    let mut other = watch_both_ways(&staying, topology).await;
    leaving.call(Method::POST, "/v1/auth/logout", None).await.ok();
    expect_closed(&mut ending, "session_revoked").await;
    admin.mutate(topology, 1).await.ok();
    for reader in &mut other {
        reader.expect("mutation.enqueued").await;
    }
    drop(other);
    app.finish().await;
}

#[tokio::test]
async fn raised_role_or_unchanged_user_keeps_streams_open() {
    let app = App::without_heartbeat().await;
    let admin = app.log_in("admin").await;
    let topology = app.active_topology(&admin).await;
    let viewer = app.caller(Role::Viewer).await;
    let id = viewer.id().await;
    let mut readers = watch_both_ways(&viewer, topology).await;
    let changes = [
        json!({}),
        json!({ "role": "viewer" }),
        json!({ "disabled": false }),
        json!({ "role": "admin" }),
        // This is the role with which the streams were opened.
        json!({ "role": "viewer" }),
    ];
    for (number, change) in (1..).zip(changes) {
        admin.call(Method::PATCH, &format!("/v1/users/{id}"), Some(change)).await.ok();
        admin.mutate(topology, number).await.ok();
        for reader in &mut readers {
            let data = reader.expect("mutation.enqueued").await.data;
            assert_eq!(data["payload"]["number"], number);
        }
    }
    drop(readers);
    app.finish().await;
}

#[tokio::test]
async fn change_by_another_process_ends_streams_at_the_next_heartbeat() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 1).await;
    let admin = app.log_in("admin").await;
    let topology = app.active_topology(&admin).await;
    let mut other = admin.watch(topology, "").await;
    other.expect("snapshot").await;
    let writer = app.gateway.database.writer();
    for reason in ["session_expired", "session_revoked", "user_disabled", "role_lowered"] {
        let victim = app.caller(Role::Operator).await;
        let me = victim.me().await;
        let mut readers = watch_both_ways(&victim, topology).await;
        let now = Expr::value(Timestamp::now());
        let of_session = login_session::Column::UserId.eq(id_of(&me));
        let sessions = login_session::Entity::update_many().filter(of_session);
        let users = user::Entity::update_many().filter(user::Column::Id.eq(id_of(&me)));
        match reason {
            "session_expired" => {
                sessions.col_expr(login_session::Column::ExpiresAt, now).exec(writer).await
            }
            "session_revoked" => {
                sessions.col_expr(login_session::Column::RevokedAt, now).exec(writer).await
            }
            "user_disabled" => {
                users.col_expr(user::Column::Disabled, Expr::value(true)).exec(writer).await
            }
            _ => users.col_expr(user::Column::Role, Expr::value(Role::Viewer)).exec(writer).await,
        }
        .expect("a change without the gateway");
        expect_closed(&mut readers, reason).await;
        let refused = victim.get("/v1/auth/me").await.status == 401;
        assert_eq!(refused, reason != "role_lowered", "{reason}");
    }
    // The streams of other users continue.
    admin.mutate(topology, 1).await.ok();
    other.expect("mutation.enqueued").await;
    drop(other);
    app.finish().await;
}

#[tokio::test]
async fn refresh_extends_a_stream_until_its_session_expires() {
    let app = App::with(|config| {
        config.streams.heartbeat_seconds = 60;
        // The test sets this in code, because a configuration file allows no value below 60.
        config.tokens.login_session_seconds = 2;
        config.streams.expiring_seconds = 0;
    })
    .await;
    let pair = app.tokens("admin").await;
    let admin = bearer(&app, pair["access_token"].as_str().expect("a token"));
    let topology = app.active_topology(&admin).await;
    let mut readers = watch_both_ways(&admin, topology).await;
    let refresh = json!({ "refresh_token": pair["refresh_token"] });
    app.anyone().post("/v1/auth/refresh", refresh).await.ok();
    let me = admin.me().await;
    let end = me["session_expires_at"].as_str().expect("a time");
    let end = Timestamp::from_datetime(OffsetDateTime::parse(end, &Rfc3339).expect("RFC 3339"));
    expect_closed(&mut readers, "session_expired").await;
    let late = Timestamp::now().since(end);
    assert!(Timestamp::now() >= end && late < Duration::from_secs(2), "{late:?}");
    invalid_token(admin.get("/v1/auth/me").await);
    app.finish().await;
}
