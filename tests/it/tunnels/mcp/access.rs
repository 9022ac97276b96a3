//! The users and the URLs of the MCP endpoint.

use entity::user::Role;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App, Caller,
    mcp::{McpClient, echo, modern, post},
    tunnel::{TunnelClient, rpc},
};

#[tokio::test]
async fn only_the_owner_uses_the_endpoint_of_a_tunnel() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let client = TunnelClient::legacy(&owner, "mine").await;
    let path = format!("/mcp/{}", client.id);
    let admin = app.log_in("admin").await;
    for stranger in [app.caller(Role::Operator).await, admin] {
        for path in [path.clone(), format!("/mcp/{}", Uuid::now_v7())] {
            stranger.post(&path, rpc(1, "ping")).await.problem(404);
            stranger.get(&path).await.problem(404);
            stranger.call(Method::DELETE, &path, None).await.problem(404);
        }
    }
    let of_a_page = owner.request(Method::POST, &path).json(&rpc(1, "ping"));
    Caller::answer(of_a_page.header("origin", "https://evil.example.com")).await.problem(403);
    // A session belongs to its user and its tunnel.
    let session = McpClient::new(&owner, client.id).await.session;
    let other = TunnelClient::legacy(&owner, "other").await;
    let headers = [("mcp-session-id", session.as_str())];
    let answer = post(&owner, &format!("/mcp/{}", other.id), &headers, &rpc(1, "ping")).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json().await["error"]["code"], -32001);
    app.finish().await;
}

#[tokio::test]
async fn name_of_a_tunnel_outlives_its_connections() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let username = owner.me().await["username"].as_str().expect("a name").to_owned();
    let path = format!("/mcp/@{username}/mine");
    let client = TunnelClient::modern(&owner, "mine").await;
    client.leave(&owner).await;
    let away = owner.post(&path, rpc(1, "server/discover")).await;
    // It names no version, so it is of the legacy era and needs a session first.
    assert_eq!(away.status, 400);
    let away = modern(&owner, &path, 1, "tools/list", json!({})).await;
    assert_eq!(away.status, 503);
    assert!(away.header("retry-after").is_some());
    // A request that is ready to wait gets its answer when the client is back.
    let message = crate::support::mcp::modern_request(1, "tools/list", json!({}));
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/list"),
        ("prefer", "respond-async, wait=10"),
    ];
    let (answer, ()) = tokio::join!(post(&owner, &path, &headers, &message), async {
        let client = TunnelClient::modern(&owner, "mine").await;
        tokio::spawn(echo(client));
    });
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json().await["result"]["method"], "tools/list");
    for unknown in [
        format!("/mcp/@{username}/other"),
        "/mcp/@nobody/mine".to_owned(),
        format!("/mcp/{username}/mine"),
    ] {
        owner.post(&unknown, rpc(1, "ping")).await.problem(404);
    }
    app.finish().await;
}

#[tokio::test]
async fn challenge_names_the_metadata_of_the_resource() {
    let app = App::start().await;
    let path = format!("/mcp/{}", Uuid::now_v7());
    for (requested, path) in [
        (path.as_str(), path.as_str()),
        ("/mcp/@ada/everything", "/mcp/@ada/everything"),
        ("/mcp/@ada/everything/messages?session_id=5", "/mcp/@ada/everything"),
    ] {
        let refused = app.anyone().post(requested, rpc(1, "ping")).await;
        let challenge = refused.headers["www-authenticate"].to_str().expect("text").to_owned();
        refused.problem(401);
        let (_, url) = challenge.split_once("resource_metadata=\"").expect("a URL");
        let url = url.trim_end_matches('"');
        assert_eq!(url, app.url(&format!("/.well-known/oauth-protected-resource{path}")));
        let metadata: serde_json::Value =
            app.http.get(url).send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(metadata["resource"], app.url(path));
        assert_eq!(metadata["bearer_methods_supported"], json!(["header"]));
        assert!(metadata.get("authorization_servers").is_none(), "{metadata}");
    }
    // Other paths keep their challenge.
    let refused = app.anyone().get("/v1/tasks").await;
    assert!(!refused.headers["www-authenticate"].to_str().expect("text").contains("metadata"));
    app.finish().await;
}
