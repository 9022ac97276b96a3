//! Users whom a trusted proxy names in a header.

use std::sync::Arc;

use entity::{Timestamp, login_session, user::Role};
use reqwest::{Method, RequestBuilder};
use sea_orm::{EntityTrait, prelude::Expr};
use serde_json::json;
use streamgate::{bus::InProcessBus, config::Config};

use crate::support::{
    Answer, App, Caller, PASSWORD, SseReader, Store,
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
    // The session cookie is a login of the browser itself.
    app.create_user("ada", Role::Viewer).await;
    let login = json!({ "username": "ada", "password": PASSWORD, "cookie": true });
    let login = app.anyone().request(Method::POST, "/v1/auth/login").json(&login);
    let answer = Caller::answer(login.header("origin", app.url(""))).await;
    let by_cookie = request(&app, Method::GET, "/v1/auth/me", "admin");
    let by_cookie = by_cookie.header("cookie", &answer.headers["set-cookie"]);
    assert_eq!(Caller::answer(by_cookie).await.ok()["username"], "ada");
    // An empty name and two names are no name.
    let empty = me(&app, "").await;
    assert_eq!(empty.headers["www-authenticate"], "Bearer realm=\"streamgate\"");
    empty.problem(401);
    let two = request(&app, Method::GET, "/v1/auth/me", "admin").header(HEADER, "admin");
    Caller::answer(two).await.problem(401);
    app.finish().await;
}

#[tokio::test]
async fn session_of_a_proxy_keeps_no_role_of_another_configuration() {
    let (store, bus) = (Store::new().await, Arc::new(InProcessBus::default()));
    let with_administrators = |config: &mut Config| {
        trusted(config);
        config.auth.proxy_administrators = true;
    };
    let before = App::on(store.clone(), bus.clone(), with_administrators).await;
    assert_eq!(me(&before, "admin").await.ok()["role"], "admin");
    let after = App::on(store, bus, trusted).await;
    assert_eq!(me(&after, "admin").await.ok()["role"], "operator");
    after.finish().await;
    before.finish().await;
}

#[tokio::test]
async fn proxy_does_not_use_the_session_of_an_api_key() {
    let app = App::with(trusted).await;
    app.create_user("ada", Role::Operator).await;
    let ada = app.log_in("ada").await;
    let key = ada.post("/v1/api-keys", json!({ "name": "k", "role": "operator" })).await.ok();
    assert_ne!(me(&app, "ada").await.ok()["session_id"], key["id"]);
    app.finish().await;
}

#[tokio::test]
async fn session_of_a_proxy_is_extended_and_replaced() {
    let app = App::with(trusted).await;
    let user = app.create_user("ada", Role::Viewer).await;
    let expire = async |at: Timestamp| {
        login_session::Entity::update_many()
            .col_expr(login_session::Column::ExpiresAt, Expr::value(at))
            .exec(app.gateway.database.writer())
            .await
            .expect("an update");
        app.gateway.login_sessions.recheck_user(user.id).await.expect("a look-up");
    };
    let session = async || me(&app, "ada").await.ok()["session_id"].clone();
    let first = session().await;
    let early = Timestamp::now() + app.gateway.login_sessions.life() / 2;
    expire(early).await;
    assert_eq!(session().await, first);
    let row = login_session::Entity::find().one(app.gateway.database.reader()).await;
    assert!(row.expect("a query").expect("a row").expires_at > early);
    expire(Timestamp::now()).await;
    assert_ne!(session().await, first);
    app.finish().await;
}
