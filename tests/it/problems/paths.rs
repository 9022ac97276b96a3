//! Unknown paths and methods, and `HEAD`.

use entity::user::Role;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App,
    raw::{head, problem, raw},
};

#[tokio::test]
async fn unknown_path_is_404_for_every_caller() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let id = Uuid::now_v7();
    for path in [
        "/".to_owned(),
        "/v1".to_owned(),
        "/v1/nothing".to_owned(),
        format!("/v1/topologies/{id}/nothing"),
        format!("/v1/users/{id}/revoke/nothing"),
        "/V1/users".to_owned(),
        "/%00".to_owned(),
        "/docs/..%2f..%2fetc%2fpasswd".to_owned(),
    ] {
        for caller in [&admin, &app.anyone()] {
            let detail = problem(caller.get(&path).await, 404, "not-found");
            assert_eq!(detail, "this path does not exist", "{path}");
        }
    }
    let detail = problem(admin.get(&format!("/v1/topologies/{id}")).await, 404, "not-found");
    assert_eq!(detail, "the resource does not exist, or you may not see it");
    app.finish().await;
}

#[tokio::test]
async fn unknown_method_is_405_with_the_allowed_methods() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let id = Uuid::now_v7();
    for (method, path, allowed) in [
        ("PUT", "/v1/users".to_owned(), vec!["GET", "HEAD", "POST"]),
        ("POST", format!("/v1/users/{id}"), vec!["DELETE", "GET", "HEAD", "PATCH"]),
        ("GET", "/v1/auth/login".to_owned(), vec!["POST"]),
        ("HEAD", "/v1/auth/login".to_owned(), vec!["POST"]),
        ("DELETE", format!("/v1/topologies/{id}/stream"), vec!["GET", "HEAD"]),
        ("POST", "/health/live".to_owned(), vec!["GET", "HEAD"]),
        ("OPTIONS", "/v1/users".to_owned(), vec!["GET", "HEAD", "POST"]),
        ("BREW", "/v1/users".to_owned(), vec!["GET", "HEAD", "POST"]),
    ] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = admin.call(method.clone(), &path, None).await;
        let allow = answer.headers["allow"].to_str().expect("text").to_owned();
        let mut methods: Vec<_> = allow.split(", ").collect();
        methods.sort_unstable();
        assert_eq!(methods, allowed, "{method} {path}");
        if method == Method::HEAD {
            assert_eq!((answer.status.as_u16(), &answer.body), (405, &json!("")));
        } else {
            problem(answer, 405, "method-not-allowed");
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn head_request_has_the_status_of_get_without_a_body() {
    let app = App::start().await;
    let admin = app.caller(Role::Admin).await;
    let lines = format!("Authorization: Bearer {}\r\n", admin.token.clone().expect("a token"));
    let gone = format!("/v1/topologies/{}", Uuid::now_v7());
    for (path, lines, status) in [
        ("/health/live", "", 200),
        ("/openapi.json", "", 200),
        ("/v1/users", lines.as_str(), 200),
        ("/v1/users", "", 401),
        ("/v1/users?limit=0", &lines, 400),
        (&gone, &lines, 404),
        ("/nothing", "", 404),
    ] {
        let answer = raw(&app, head("HEAD", path, lines).as_bytes()).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (status, &json!("")), "{path}");
        let get = raw(&app, head("GET", path, lines).as_bytes()).await;
        assert_eq!(get.status, answer.status);
        assert_ne!(get.body, json!(""));
        assert_eq!(get.headers["content-type"], answer.headers["content-type"], "{path}");
    }
    app.finish().await;
}
