//! Users whom a trusted proxy names in a header.

use entity::user::Role;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use streamgate::config::Config;

use crate::support::{
    Answer, App, Caller, SseReader,
    auth::{bearer, invalid_token},
    topology::operator_with_topology,
};

const HEADER: &str = "x-forwarded-user";

fn trusted(config: &mut Config) {
    config.auth.proxy_user_header = Some(HEADER.to_owned());
    config.server.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
}

fn request(app: &App, method: Method, path: &str, user: &str) -> RequestBuilder {
    app.anyone().request(method, path).header(HEADER, user)
}

async fn me(app: &App, user: &str) -> Answer {
    Caller::answer(request(app, Method::GET, "/v1/auth/me", user)).await
}

#[tokio::test]
async fn trusted_proxy_names_the_user() {
    let app = App::with(trusted).await;
    let user = app.create_user("ada", Role::Viewer).await;
    let first = me(&app, "ada").await.ok();
    assert_eq!((&first["id"], &first["role"]), (&json!(user.id), &json!("viewer")));
    // All requests of the user share a session, so that streams and their limits work as after a login.
    assert_eq!(me(&app, "ada").await.ok()["session_id"], first["session_id"]);
    let (operator, topology) = operator_with_topology(&app).await;
    let headers = format!("{HEADER}: ada\r\n");
    let path = format!("/v1/topologies/{topology}/stream");
    let mut stream =
        SseReader::open(app.address, &app.anyone().stream_request(&path, &headers)).await;
    stream.expect("snapshot").await;
    let admin = app.log_in("admin").await;
    let path = format!("/v1/users/{}", user.id);
    admin.call(Method::PATCH, &path, Some(json!({ "disabled": true }))).await.ok();
    assert_eq!(stream.expect("stream.closed").await.data["reason"], "user_disabled");
    assert_eq!(invalid_token(me(&app, "ada").await), "the user is disabled");
    admin.call(Method::PATCH, &path, Some(json!({ "disabled": false }))).await.ok();
    // Disabling has revoked the session. The proxy has authenticated the user again.
    assert_ne!(me(&app, "ada").await.ok()["session_id"], first["session_id"]);
    let unknown = invalid_token(me(&app, "nobody").await);
    assert_eq!(unknown, "no user has the name that the proxy sent");
    drop(operator);
    app.finish().await;
}

#[tokio::test]
async fn forged_header_from_another_address_is_ignored() {
    let app = App::with(|config| {
        trusted(config);
        config.server.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let refused = me(&app, "admin").await;
    assert_eq!(refused.headers["www-authenticate"], "Bearer realm=\"streamgate\"");
    refused.problem(401);
    // The address of the connection counts, and not one that a client claims to have.
    let request = request(&app, Method::GET, "/v1/auth/me", "admin");
    Caller::answer(request.header("x-forwarded-for", "10.1.2.3")).await.problem(401);
    app.finish().await;
    // Without the key in the configuration, no proxy names a user.
    let app = App::with(|config| {
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    me(&app, "admin").await.problem(401);
    app.finish().await;
}

#[tokio::test]
async fn proxy_makes_an_administrator_only_if_configured() {
    let app = App::with(trusted).await;
    assert_eq!(me(&app, "admin").await.ok()["role"], "operator");
    Caller::answer(request(&app, Method::GET, "/v1/users", "admin")).await.problem(403);
    app.finish().await;
    let app = App::with(|config| {
        trusted(config);
        config.auth.proxy_administrators = true;
    })
    .await;
    assert_eq!(me(&app, "admin").await.ok()["role"], "admin");
    Caller::answer(request(&app, Method::GET, "/v1/users", "admin")).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn unsafe_request_through_a_proxy_needs_an_origin() {
    let app = App::with(|config| {
        trusted(config);
        config.server.allowed_origins = vec!["https://app.example.com".to_owned()];
    })
    .await;
    app.create_user("ada", Role::Operator).await;
    let create = |origin: Option<&str>| {
        let body = json!({ "task_type": "a" });
        let request = request(&app, Method::POST, "/v1/tasks", "ada").json(&body);
        match origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        }
    };
    for origin in [None, Some("null"), Some("https://evil.example.com")] {
        Caller::answer(create(origin)).await.problem(403);
    }
    Caller::answer(create(Some("https://app.example.com"))).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn other_credentials_come_before_the_header() {
    let app = App::with(trusted).await;
    let operator = app.caller(Role::Operator).await;
    let id = operator.id().await;
    let own = operator.request(Method::GET, "/v1/auth/me").header(HEADER, "admin");
    assert_eq!(Caller::answer(own).await.ok()["id"], json!(id));
    // A credential that is not valid is not replaced by the header.
    let wrong = bearer(&app, "wrong").request(Method::GET, "/v1/auth/me").header(HEADER, "admin");
    Caller::answer(wrong).await.problem(401);
    // Two names are no name.
    let two = request(&app, Method::GET, "/v1/auth/me", "admin").header(HEADER, "admin");
    Caller::answer(two).await.problem(401);
    app.finish().await;
}
