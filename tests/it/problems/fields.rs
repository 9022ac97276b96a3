//! Parameters, header fields and members of bodies that are refused.

use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App, PASSWORD,
    raw::{head, problem, raw},
};

#[tokio::test]
async fn duplicate_header_or_parameter_is_400() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let bearer = format!("Authorization: Bearer {}\r\n", admin.token.as_deref().expect("a token"));
    let topology = app.active_topology(&admin).await;
    let stream = format!("/v1/topologies/{topology}/stream");
    let twice = |line: &str| format!("{line}\r\n{line}\r\n");
    for (path, lines, name) in [
        ("/v1/auth/me", bearer.repeat(2), "Authorization"),
        ("/v1/auth/me", format!("{bearer}Authorization: Basic YTpi\r\n"), "Authorization"),
        ("/health/live", twice("Authorization: x"), "Authorization"),
        (&stream, bearer + &twice("Lease-Token: a"), "Lease-Token"),
        ("/health/live", twice("Content-Type: application/json"), "Content-Type"),
        ("/health/live?stream_token=a&stream_token=a", String::new(), "stream_token"),
    ] {
        let answer = raw(&app, head("GET", path, &lines).as_bytes()).await;
        let detail = problem(answer, 400, "bad-request");
        assert_eq!(detail, format!("{name} may be sent only once"), "{path}");
    }
    app.finish().await;
}

#[tokio::test]
async fn number_in_place_of_a_text_is_400() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    for (path, body) in [
        ("/v1/auth/login", json!({ "username": 1, "password": PASSWORD })),
        ("/v1/auth/login", json!({ "username": "admin", "password": true })),
        ("/v1/users", json!({ "username": "ada", "password": 12_345_678, "role": "viewer" })),
        ("/v1/topologies", json!({ "name": 7 })),
    ] {
        let answer = admin.post(path, body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        problem(answer, 400, "bad-request");
    }
    app.finish().await;
}

#[tokio::test]
async fn error_does_not_echo_the_request_body() {
    let app = App::start().await;
    // Clients log the errors that they get, so an error must not contain a secret.
    for (path, body) in [
        ("/v1/auth/login", json!({ "username": "admin", "password": ["sesame"] })),
        ("/v1/auth/login", json!(["admin", "sesame"])),
        ("/v1/auth/login", json!("sesame")),
        ("/v1/auth/refresh", json!({ "refresh_token": { "token": "sesame" } })),
    ] {
        let detail = problem(app.anyone().post(path, body).await, 400, "bad-request");
        assert!(!detail.contains("sesame"), "{detail}");
    }
    app.finish().await;
}

#[tokio::test]
async fn parameters_and_fields_out_of_bounds_are_400() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let id = Uuid::now_v7();
    for path in [
        "/v1/users/not-an-id".to_owned(),
        "/v1/users/%00".to_owned(),
        "/v1/topologies/123".to_owned(),
        "/v1/topologies/not-an-id/stream".to_owned(),
        "/v1/users?limit=0".to_owned(),
        "/v1/users?limit=201".to_owned(),
        "/v1/users?limit=-1".to_owned(),
        "/v1/users?limit=many".to_owned(),
        "/v1/users?limit=99999999999999999999".to_owned(),
        "/v1/users?after=not-an-id".to_owned(),
        "/v1/topologies?status=unheard-of".to_owned(),
        format!("/v1/topologies/{id}/mutations?state=unheard-of"),
        format!("/v1/topologies/{id}/stream?max_events=0"),
        format!("/v1/topologies/{id}/stream?max_seconds=86401"),
        format!("/v1/topologies/{id}/stream?on_refusal=silence"),
    ] {
        problem(admin.get(&path).await, 400, "bad-request");
    }
    let user = |name: &str, password: &str, role: &str| {
        ("/v1/users", json!({ "username": name, "password": password, "role": role }))
    };
    let token = |id: &str, ttl: i64| {
        ("/v1/stream-tokens", json!({ "family": "topology", "id": id, "ttl_seconds": ttl }))
    };
    let id = id.to_string();
    for (path, body) in [
        user("Not A Name", PASSWORD, "viewer"),
        user("ada", "short", "viewer"),
        user("ada", PASSWORD, "emperor"),
        token("not-an-id", 60),
        token(&id, 29),
        token(&id, 301),
        token(&id, -60),
        ("/v1/topologies", json!({ "name": "" })),
        ("/v1/topologies", json!({ "name": "a\0b" })),
        ("/v1/topologies", json!({ "name": "x", "config": "not an object" })),
    ] {
        problem(admin.post(path, body).await, 400, "bad-request");
    }
    app.finish().await;
}
