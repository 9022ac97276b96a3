//! Tunnel clients that are refused before the WebSocket opens.

use entity::user::Role;
use reqwest::Method;

use crate::support::{App, Caller, tunnel::TunnelClient};

const PATH: &str = "/reverse-proxy/ws";

#[tokio::test]
async fn page_of_another_origin_opens_no_tunnel() {
    let app = App::with(|config| {
        config.server.allowed_origins = vec!["https://app.example.com".to_owned()];
    })
    .await;
    let owner = app.caller(Role::Viewer).await;
    let own = format!("http://{}", app.address);
    for (origin, allowed) in [
        ("https://evil.example.com", false),
        ("null", false),
        ("https://app.example.com", true),
        (own.as_str(), true),
    ] {
        let opened = TunnelClient::open(&owner, PATH, &[("origin", origin)]).await;
        assert_eq!(
            opened.err().map(|status| status.as_u16()),
            (!allowed).then_some(403),
            "{origin}"
        );
    }
    app.finish().await;
}

#[tokio::test]
async fn name_that_fits_in_no_url_is_refused() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    for name in ["a/b", "a b", "..", "sse", "messages", &"x".repeat(65)] {
        let opened = TunnelClient::open(&owner, PATH, &[("x-tunnel-name", name)]).await;
        assert_eq!(opened.err().map(|status| status.as_u16()), Some(400), "{name}");
    }
    app.finish().await;
}

#[tokio::test]
async fn request_without_a_handshake_opens_no_tunnel() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    for path in [PATH, "/reverse-proxy", "/v1/reverse-proxy/ws"] {
        let detail = owner.get(path).await.problem(400);
        assert!(detail.contains("WebSocket handshake"), "{detail}");
        app.anyone().get(path).await.problem(401);
    }
    let head = Caller::answer(owner.request(Method::HEAD, PATH)).await;
    assert_eq!(head.status, 400);
    assert_eq!(owner.get("/reverse-proxy/sessions").await.ok()["items"], serde_json::json!([]));
    app.finish().await;
}

#[tokio::test]
async fn user_with_too_many_tunnels_is_refused() {
    let app = App::with(|config| config.limits.tunnels_per_user = 2).await;
    let owner = app.caller(Role::Viewer).await;
    let first = TunnelClient::register(&owner, "a").await;
    let _second = TunnelClient::register(&owner, "b").await;
    let opened = TunnelClient::open(&owner, PATH, &[("x-tunnel-name", "c")]).await;
    assert_eq!(opened.err().map(|status| status.as_u16()), Some(429));
    let limits = owner.me().await["limits"].clone();
    let tunnels = limits.as_array().into_iter().flatten().find(|limit| limit["name"] == "tunnels");
    assert_eq!(
        tunnels.map(|limit| (&limit["limit"], &limit["used"])),
        Some((&2.into(), &2.into()))
    );
    assert!(app.metric("streamgate_quota_refused_total{limit=\"tunnels\"}") >= 1.0);
    // Another user has other slots. The slot of a client that leaves is free again.
    let other = app.caller(Role::Viewer).await;
    TunnelClient::register(&other, "a").await;
    first.leave(&owner).await;
    TunnelClient::register(&owner, "c").await;
    app.finish().await;
}
