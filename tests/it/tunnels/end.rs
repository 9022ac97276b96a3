//! The ends of a connection, and their reasons.

use std::sync::Arc;

use entity::{Timestamp, tunnel, user::Role};
use reqwest::Method;
use sea_orm::{ActiveModelTrait, ActiveValue::Set};
use serde_json::json;
use streamgate::bus::InProcessBus;
use uuid::Uuid;

use crate::support::{
    App,
    tunnel::{TunnelClient, key},
    until,
};

#[tokio::test]
async fn client_that_breaks_the_protocol_is_closed() {
    let app = App::with(|config| config.tunnels.message_limit_bytes = 65_536).await;
    let owner = app.caller(Role::Viewer).await;
    let mut large = TunnelClient::legacy(&owner, "large").await;
    large.text(format!("{{\"type\":\"heartbeat\",\"x\":\"{}\"}}", "x".repeat(70_000))).await;
    assert_eq!(large.closed().await.0, 1009);
    let mut binary = TunnelClient::legacy(&owner, "binary").await;
    binary.bytes(vec![1, 2, 3]).await;
    assert_eq!(binary.closed().await.0, 1008);
    for client in [large, binary] {
        let path = format!("/reverse-proxy/sessions/{}", client.id);
        until("end", async || owner.get(&path).await.body["disconnect_reason"] == "protocol").await;
    }
    app.finish().await;
}

#[tokio::test]
async fn end_of_the_key_ends_the_tunnel() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let (id, with_key) = key(&owner, "laptop").await;
    let mut client = TunnelClient::register_with(&with_key, &[]).await;
    owner.call(Method::DELETE, &format!("/v1/api-keys/{id}"), None).await.ok();
    let ended = (1008, "the login session or the API key has ended".to_owned());
    assert_eq!(client.closed().await, ended);
    let path = format!("/reverse-proxy/sessions/{}", client.id);
    until("end", async || owner.get(&path).await.body["disconnect_reason"] == "session_ended")
        .await;
    app.finish().await;
}

#[tokio::test]
async fn shutdown_closes_tunnels_and_records_it() {
    let mut app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut client = TunnelClient::legacy(&owner, "mine").await;
    app.begin_stop();
    assert_eq!(client.closed().await, (1012, "the gateway shuts down".to_owned()));
    app.ended().await;
    let store = app.store.take().expect("a store");
    let app = App::on(store, Arc::new(InProcessBus::default()), |_| ()).await;
    let owner = app.here(&owner);
    let tunnel = owner.get(&format!("/reverse-proxy/sessions/{}", client.id)).await.ok();
    assert_eq!(tunnel["status"], "disconnected");
    assert_eq!(tunnel["disconnect_reason"], "server_shutdown");
    app.finish().await;
}

#[tokio::test]
async fn tunnels_of_a_gateway_that_ended_are_found() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 1).await;
    let owner = app.caller(Role::Viewer).await;
    let [stale, alive] = [0, 1].map(async |number| {
        let client = TunnelClient::legacy(&owner, &format!("mine-{number}")).await;
        let id = client.id;
        client.leave(&owner).await;
        id
    });
    let (stale, alive) = (stale.await, alive.await);
    // As another gateway has written the rows: one that ended without a shutdown, and one that is there.
    for (id, alive_until) in [(stale, 0), (alive, i64::MAX)] {
        let row = tunnel::ActiveModel {
            id: Set(id),
            gateway: Set(Some(Uuid::new_v4())),
            alive_until: Set(Timestamp(alive_until)),
            ..Default::default()
        };
        row.update(app.gateway.database.writer()).await.expect("a row");
    }
    let path = format!("/reverse-proxy/sessions/{stale}");
    until("end", async || owner.get(&path).await.body["disconnect_reason"] == "gateway_lost").await;
    let page = owner.get(&format!("{path}/events")).await.ok();
    let last = page["events"].as_array().and_then(|events| events.last()).expect("events");
    assert_eq!(last["kind"], "tunnel.disconnected");
    assert_eq!(last["data"]["reason"], "gateway_lost");
    let other = owner.get(&format!("/reverse-proxy/sessions/{alive}")).await.ok();
    assert_eq!(other["status"], "connected");
    app.finish().await;
}

#[tokio::test]
async fn tunnel_of_a_client_that_stays_away_is_deleted() {
    let app = App::with(|config| {
        config.tunnels.away_seconds = 1;
        config.retention.sweep_seconds = 1;
        config.retention.tunnel_seconds = 1;
    })
    .await;
    let owner = app.caller(Role::Viewer).await;
    let away = TunnelClient::legacy(&owner, "away").await;
    let here = TunnelClient::legacy(&owner, "here").await;
    let path = format!("/reverse-proxy/sessions/{}", away.id);
    away.leave(&owner).await;
    until("deletion", async || owner.get(&path).await.status == 404).await;
    let events = format!("{path}/events");
    until("deletion of the events", async || owner.get(&events).await.status == 404).await;
    owner.get(&format!("/reverse-proxy/sessions/{}", here.id)).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn mute_server_is_found() {
    let app = App::with(|config| config.tunnels.unresponsive_seconds = 1).await;
    let owner = app.caller(Role::Viewer).await;
    let mut client = TunnelClient::legacy(&owner, "mute").await;
    let ping = client.request("ping").await;
    client.answer(&ping, json!({})).await;
    client.request("ping").await;
    // No answer to the second one.
    assert_eq!(client.closed().await, (1013, "the MCP server does not answer".to_owned()));
    let path = format!("/reverse-proxy/sessions/{}", client.id);
    until("end", async || owner.get(&path).await.body["disconnect_reason"] == "unresponsive").await;
    app.finish().await;
}
