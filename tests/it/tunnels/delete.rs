//! `DELETE /reverse-proxy/sessions/{id}`, and the clients that are kept out.

use entity::user::Role;
use reqwest::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App, id_of,
    tunnel::{TunnelClient, key},
};

const PATH: &str = "/reverse-proxy/ws";

#[tokio::test]
async fn client_of_a_deleted_tunnel_is_kept_out() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let (key_id, with_key) = key(&owner, "laptop").await;
    let mut client = TunnelClient::register_with(&with_key, &[]).await;
    let path = format!("/reverse-proxy/sessions/{}", client.id);
    assert_eq!(owner.call(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(client.closed().await, (1008, "the tunnel was deleted".to_owned()));
    owner.get(&path).await.problem(404);
    owner.call(Method::DELETE, &path, None).await.problem(404);
    let open = async |headers: &[(&'static str, &str)]| {
        TunnelClient::open(&with_key, PATH, headers).await.err()
    };
    assert_eq!(open(&[]).await, Some(StatusCode::FORBIDDEN));
    // The same key with another name is another client, and so is the same name without the key.
    assert_eq!(open(&[("x-tunnel-name", "other")]).await, None);
    assert!(TunnelClient::open(&owner, PATH, &[("x-tunnel-name", "laptop")]).await.is_ok());

    let blocked = owner.get("/reverse-proxy/blocked-clients").await.ok();
    let [entry] = blocked["items"].as_array().expect("a list").as_slice() else {
        panic!("{blocked}")
    };
    assert_eq!((&entry["api_key"], &entry["client_name"]), (&json!(key_id), &json!("laptop")));
    assert_eq!(entry["blocked_by"], json!(owner.id().await));
    let entry = format!("/reverse-proxy/blocked-clients/{}", id_of(entry));
    let stranger = app.caller(Role::Operator).await;
    let seen = stranger.get("/reverse-proxy/blocked-clients").await.ok();
    assert_eq!(seen["items"], json!([]));
    stranger.call(Method::DELETE, &entry, None).await.problem(404);
    assert_eq!(owner.call(Method::DELETE, &entry, None).await.status, 204);
    owner.call(Method::DELETE, &entry, None).await.problem(404);
    let again = TunnelClient::register_with(&with_key, &[]).await;
    assert_ne!(format!("/reverse-proxy/sessions/{}", again.id), path);
    app.finish().await;
}

#[tokio::test]
async fn client_admitted_before_its_tunnel_was_deleted_is_kept_out() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let client = TunnelClient::legacy(&owner, "mine").await;
    let path = format!("/reverse-proxy/sessions/{}", client.id);
    client.leave(&owner).await;
    // The client is admitted, and waits for its tunnel.
    let connecting = app.gateway.tunnels.connecting.lock().await;
    let open = TunnelClient::open(&owner, PATH, &[("x-tunnel-name", "mine")]);
    let Ok(mut client) = open.await else { panic!("not admitted") };
    assert_eq!(owner.call(Method::DELETE, &path, None).await.status, 204);
    drop(connecting);
    assert_eq!(client.closed().await, (1008, "the tunnel was deleted".to_owned()));
    app.finish().await;
}

#[tokio::test]
async fn administrators_see_and_delete_tunnels_of_all_users() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let stranger = app.caller(Role::Operator).await;
    let admin = app.log_in("admin").await;
    let client = TunnelClient::legacy(&owner, "mine").await;
    let path = format!("/reverse-proxy/sessions/{}", client.id);
    stranger.get(&path).await.problem(404);
    stranger.call(Method::DELETE, &path, None).await.problem(404);
    assert_eq!(stranger.get("/reverse-proxy/sessions").await.ok()["items"], json!([]));
    for caller in [&owner, &admin] {
        let page = caller.get("/reverse-proxy/sessions").await.ok();
        assert_eq!(id_of(&page["items"][0]), client.id);
    }
    assert_eq!(admin.call(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(owner.get("/reverse-proxy/sessions").await.ok()["items"], json!([]));
    app.finish().await;
}

#[tokio::test]
async fn tunnels_of_a_deleted_user_are_deleted() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let admin = app.log_in("admin").await;
    let away = TunnelClient::legacy(&owner, "away").await;
    let id: Uuid = away.id;
    away.leave(&owner).await;
    let mut client = TunnelClient::legacy(&owner, "connected").await;
    let user = format!("/v1/users/{}", owner.id().await);
    assert_eq!(admin.call(Method::DELETE, &user, None).await.status, 204);
    assert_eq!(client.closed().await.0, 1008);
    for id in [id, client.id] {
        admin.get(&format!("/reverse-proxy/sessions/{id}")).await.problem(404);
    }
    app.finish().await;
}
