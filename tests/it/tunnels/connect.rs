//! `GET /reverse-proxy/ws`: the WebSocket of a tunnel client, and which tunnel it gets.

use std::collections::BTreeSet;

use entity::user::Role;
use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App,
    mcp::echo,
    soon,
    tunnel::{TunnelClient, discovered, key},
    until,
};

#[tokio::test]
async fn client_connects_at_each_of_three_paths() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    for path in ["/reverse-proxy/ws", "/reverse-proxy", "/v1/reverse-proxy/ws"] {
        let client = TunnelClient::open(&owner, path, &[("x-tunnel-name", "a")]).await;
        assert!(client.is_ok(), "{path}");
    }
    app.finish().await;
}

#[tokio::test]
async fn tunnel_shows_its_server_client_and_traffic() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let client = TunnelClient::legacy(&owner, "everything").await;
    let tunnel = owner.get(&format!("/reverse-proxy/sessions/{}", client.id)).await.ok();
    assert_eq!(tunnel["owner"], json!(owner.id().await));
    assert_eq!(tunnel["name"], "everything");
    assert_eq!(tunnel["status"], "connected");
    assert_eq!(tunnel["description"], "a test");
    assert_eq!(tunnel["server"], json!({ "name": "played", "version": "1" }));
    assert_eq!(tunnel["protocol_version"], "2025-11-25");
    assert_eq!(tunnel["address"], "127.0.0.1");
    // An early response, and the answers to server/discover and initialize.
    assert_eq!(tunnel["messages_received"], 3);
    // server/discover, initialize and notifications/initialized.
    assert_eq!(tunnel["messages_sent"], 3);
    for bytes in ["bytes_received", "bytes_sent"] {
        assert!(tunnel[bytes].as_u64().is_some_and(|bytes| bytes > 300), "{tunnel}");
    }
    app.finish().await;
}

#[tokio::test]
async fn server_of_the_modern_era_is_not_initialized() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut client = TunnelClient::register(&owner, "modern").await;
    let discover = client.request("server/discover").await;
    let meta = &discover["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    client.answer(&discover, discovered()).await;
    client.listed(&owner).await;
    let tunnel = owner.get(&format!("/reverse-proxy/sessions/{}", client.id)).await.ok();
    assert_eq!(tunnel["protocol_version"], "2026-07-28");
    assert_eq!(tunnel["server"]["name"], "played");
    assert_eq!(tunnel["messages_sent"], 1);
    app.finish().await;
}

#[tokio::test]
async fn client_gets_its_tunnel_again() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let first = TunnelClient::legacy(&owner, "mine").await;
    let id = first.id;
    first.leave(&owner).await;
    let again = TunnelClient::legacy(&owner, "mine").await;
    assert_eq!(again.id, id);
    let tunnel = owner.get(&format!("/reverse-proxy/sessions/{id}")).await.ok();
    assert_eq!(tunnel["messages_sent"], 6, "the traffic of both connections: {tunnel}");
    // A second client cannot have the same name at the same time. The first one answers the ping only if it is read.
    let mut again = again;
    let second = tokio::select! {
        second = TunnelClient::register(&owner, "mine") => second,
        frame = again.read() => panic!("{frame}"),
    };
    let tunnel = owner.get(&format!("/reverse-proxy/sessions/{}", second.id)).await.ok();
    assert_eq!((&tunnel["name"], &tunnel["client_name"]), (&json!("mine-2"), &json!("mine")));
    // The name belongs to one user: another user can have it too.
    let other = app.caller(Role::Viewer).await;
    let foreign = TunnelClient::register(&other, "mine").await;
    let tunnel = other.get(&format!("/reverse-proxy/sessions/{}", foreign.id)).await.ok();
    assert_eq!(tunnel["name"], "mine");
    app.finish().await;
}

#[tokio::test]
async fn same_process_replaces_its_old_connection() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let headers = [("x-tunnel-name", "mine"), ("x-session-id", "0123456789abcdef")];
    let mut first = TunnelClient::register_with(&owner, &headers).await;
    let second = TunnelClient::register_with(&owner, &headers).await;
    assert_eq!(first.id, second.id);
    assert_eq!(first.closed().await, (1008, "the same client has connected again".to_owned()));
    let tunnel = owner.get(&format!("/reverse-proxy/sessions/{}", second.id)).await.ok();
    assert_eq!(
        (&tunnel["status"], &tunnel["disconnect_reason"]),
        (&json!("connected"), &json!("replaced"))
    );
    app.finish().await;
}

#[tokio::test]
async fn restarted_client_takes_the_name_of_one_that_is_gone() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    // Nobody reads its socket, so it answers no ping: like a machine without a network.
    let lost = TunnelClient::register(&owner, "mine").await;
    let restarted = TunnelClient::register(&owner, "mine").await;
    assert_eq!(restarted.id, lost.id);
    app.finish().await;
}

#[tokio::test]
async fn client_without_a_name_is_called_like_its_key() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let (id, client) = key(&owner, "My laptop").await;
    // The real client has another random name after each start.
    let first = TunnelClient::register_with(&client, &[("x-session-id", "first")]).await;
    let path = format!("/reverse-proxy/sessions/{}", first.id);
    let tunnel = owner.get(&path).await.ok();
    assert_eq!((&tunnel["name"], &tunnel["api_key"]), (&json!("My-laptop"), &json!(id)));
    let id = first.id;
    first.leave(&owner).await;
    let second = TunnelClient::register_with(&client, &[("x-session-id", "second")]).await;
    assert_eq!(second.id, id);
    app.finish().await;
}

#[tokio::test]
async fn heartbeats_are_answered_once_a_second_at_most() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let mut client = TunnelClient::legacy(&owner, "eager").await;
    // The client of mcpgateway answers every answer, so answering all of them would never end.
    for _ in 0..100 {
        client.frame(json!({ "type": "heartbeat" })).await;
    }
    let marker = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    client.send("response", marker).await;
    let mut answers = 0;
    loop {
        let frame = client.read().await;
        if frame["type"] == "request" {
            assert_eq!(frame["payload"], json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
            break;
        }
        assert_eq!((&frame["type"], &frame["sessionId"]), (&json!("heartbeat"), &json!(client.id)));
        answers += 1;
    }
    assert!((1..=3).contains(&answers), "{answers}");
    app.finish().await;
}

#[tokio::test]
async fn clients_with_one_name_get_tunnels_of_their_own() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let connect = |number: usize| {
        let owner = owner.clone();
        tokio::spawn(async move {
            let instance = format!("process-{number}");
            let headers = [("x-tunnel-name", "shared"), ("x-session-id", instance.as_str())];
            let mut client = TunnelClient::register_with(&owner, &headers).await;
            client.initialize().await;
            let id = client.id;
            // It answers pings as long as it is read.
            tokio::spawn(echo(client));
            id
        })
    };
    let ids = soon("five tunnels", join_all((0..5).map(connect))).await;
    let ids: BTreeSet<Uuid> = ids.into_iter().map(|id| id.expect("an id")).collect();
    assert_eq!(ids.len(), 5);
    let page = owner.get("/reverse-proxy/sessions").await.ok();
    let names = page["items"].as_array().expect("a list").iter();
    let names: BTreeSet<&str> = names.filter_map(|item| item["name"].as_str()).collect();
    assert_eq!(names, BTreeSet::from(["shared", "shared-2", "shared-3", "shared-4", "shared-5"]));
    until("metric", async || app.metric("streamgate_tunnels_connected") >= 5.0).await;
    app.finish().await;
}
