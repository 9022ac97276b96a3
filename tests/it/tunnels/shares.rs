//! The users that a tunnel is shared with, and its policy.

use entity::user::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    App, Caller,
    tunnel::{TunnelClient, key, set_policy, share, unshare},
};

async fn username(caller: &Caller) -> String {
    caller.me().await["username"].as_str().expect("a name").to_owned()
}

#[tokio::test]
async fn owner_shares_a_tunnel_and_sees_with_whom() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let user = app.caller(Role::Viewer).await;
    let client = TunnelClient::legacy(&owner, "mine").await;
    let path = format!("/reverse-proxy/sessions/{}", client.id);
    let shares = format!("{path}/shares");
    let name = username(&user).await;
    let put = async |caller: &Caller, name: &str, role: &str| {
        let body = Some(json!({ "role": role }));
        caller.call(Method::PUT, &format!("{shares}/{name}"), body).await
    };
    put(&owner, "nobody", "call").await.problem(404);
    put(&owner, &username(&owner).await, "call").await.problem(409);
    put(&owner, &name, "own").await.problem(400);
    put(&user, &name, "call").await.problem(404);
    assert_eq!(owner.get(&shares).await.ok(), json!({ "items": [] }));
    let created = put(&owner, &name, "list").await.ok();
    assert_eq!((&created["username"], &created["role"]), (&json!(name), &json!("list")));
    assert_eq!(owner.get(&shares).await.ok()["items"], json!([created]));
    let seen = user.get("/reverse-proxy/shared").await.ok();
    let expected = json!({
        "id": client.id,
        "owner": username(&owner).await,
        "name": "mine",
        "path": format!("/mcp/@{}/mine", username(&owner).await),
        "role": "list",
        "status": "connected",
        "description": "a test",
        "server": { "name": "played", "version": "1" },
    });
    assert_eq!(seen["items"], json!([expected]));
    assert_eq!(owner.get("/reverse-proxy/shared").await.ok()["items"], json!([]));
    // A share is for the MCP endpoint only: the stream of the tunnel has the messages of the owner.
    for hidden in [path.clone(), shares.clone(), format!("{path}/policy"), format!("{path}/events")]
    {
        user.get(&hidden).await.problem(404);
    }
    user.get(&format!("/reverse-proxy/sse/{}", client.id)).await.problem(404);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    user.post(&format!("{path}/request"), call).await.problem(404);
    // The same role again changes nothing, and another role keeps the time.
    let created_at = created["created_at"].clone();
    let changed = put(&owner, &name, "call").await.ok();
    assert_eq!((&changed["role"], &changed["created_at"]), (&json!("call"), &created_at));
    unshare(&owner, client.id, &user).await;
    assert_eq!(user.get("/reverse-proxy/shared").await.ok()["items"], json!([]));
    owner.call(Method::DELETE, &format!("{shares}/{name}"), None).await.problem(404);
    // An administrator sees and ends shares, and cannot get one. Neither can who has found an API key of the owner.
    let admin = app.log_in("admin").await;
    put(&admin, "admin", "call").await.problem(403);
    let policy = format!("{path}/policy");
    admin.call(Method::PUT, &policy, Some(json!({}))).await.problem(403);
    let (_, with_key) = key(&owner, "laptop").await;
    put(&with_key, &name, "call").await.problem(403);
    put(&owner, &name, "call").await.ok();
    assert_eq!(admin.get(&shares).await.ok()["items"][0]["username"], json!(name));
    assert_eq!(admin.call(Method::DELETE, &format!("{shares}/{name}"), None).await.status, 204);
    put(&owner, &name, "call").await.ok();
    assert_eq!(owner.call(Method::DELETE, &path, None).await.status, 204);
    owner.get(&shares).await.problem(404);
    assert_eq!(user.get("/reverse-proxy/shared").await.ok()["items"], json!([]));
    app.finish().await;
}

#[tokio::test]
async fn policy_is_kept_as_it_was_set() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let client = TunnelClient::legacy(&owner, "mine").await;
    let path = format!("/reverse-proxy/sessions/{}/policy", client.id);
    assert_eq!(owner.get(&path).await.ok(), json!({}));
    let policy = json!({
        "methods": { "deny": ["prompts/*"] },
        "tools": { "allow": [], "deny": ["delete"] },
    });
    set_policy(&owner, client.id, policy.clone()).await;
    assert_eq!(owner.get(&path).await.ok(), policy);
    let put = async |body: Value| owner.call(Method::PUT, &path, Some(body)).await;
    for wrong in [
        json!({ "tool": {} }),
        json!({ "tools": { "allow": [5] } }),
        json!({ "tools": { "allow": ["x".repeat(257)] } }),
        json!({ "tools": { "deny": vec!["x"; 201] } }),
        json!({ "tools": { "deny": vec!["x".repeat(256); 64] } }),
    ] {
        put(wrong).await.problem(400);
    }
    assert_eq!(owner.get(&path).await.ok(), policy);
    let longest = json!({ "tools": { "deny": vec!["x".repeat(256); 60] } });
    assert_eq!(put(longest.clone()).await.ok(), longest);
    assert_eq!(put(json!({})).await.ok(), json!({}));
    assert_eq!(owner.get(&path).await.ok(), json!({}));
    app.finish().await;
}

#[tokio::test]
async fn changes_of_shares_are_security_events() {
    let app = App::start().await;
    let owner = app.caller(Role::Viewer).await;
    let user = app.caller(Role::Viewer).await;
    let tunnel = TunnelClient::legacy(&owner, "mine").await.id;
    share(&owner, tunnel, &user, "list").await;
    share(&owner, tunnel, &user, "list").await;
    unshare(&owner, tunnel, &user).await;
    set_policy(&owner, tunnel, json!({})).await;
    let admin = app.log_in("admin").await;
    let events = admin.get("/v1/audit-events").await.ok();
    let events = events["items"].as_array().expect("items").iter();
    let of_tunnel: Vec<_> =
        events.filter(|event| event["data"]["tunnel"] == json!(tunnel)).collect();
    let kinds: Vec<_> = of_tunnel.iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["tunnel.policy_changed", "tunnel.unshared", "tunnel.shared"]);
    let ids = [owner.id().await, user.id().await].map(|id| json!(id));
    for (event, about) in of_tunnel.into_iter().zip([&ids[0], &ids[1], &ids[1]]) {
        assert_eq!((&event["user_id"], &event["actor_id"]), (about, &ids[0]));
    }
    app.finish().await;
}

#[tokio::test]
async fn tunnel_is_shared_with_at_most_200_users() {
    let app = App::with(|config| config.limits.requests_per_minute = 10_000).await;
    let owner = app.caller(Role::Viewer).await;
    let tunnel = TunnelClient::legacy(&owner, "mine").await.id;
    let shares = format!("/reverse-proxy/sessions/{tunnel}/shares");
    let put = async |number: usize| {
        let name = format!("user-{number}");
        let subject = ("https://id.example.com".to_owned(), name.clone());
        app.gateway.users.create_external(&name, subject, Role::Viewer).await.expect("a user");
        let body = Some(json!({ "role": "list" }));
        owner.call(Method::PUT, &format!("{shares}/{name}"), body).await
    };
    for number in 0..200 {
        put(number).await.ok();
    }
    put(200).await.problem(409);
    let mut path = format!("{shares}?limit=150");
    let mut seen = 0;
    loop {
        let page = owner.get(&path).await.ok();
        seen += page["items"].as_array().expect("items").len();
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{shares}?limit=150&after={next}");
    }
    assert_eq!(seen, 200);
    app.finish().await;
}
