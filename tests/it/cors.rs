//! Cross-origin requests: which pages may read a response.

use entity::user::Role;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Answer, App, Caller, topology::operator_with_topology};

const APP: &str = "https://app.example.com";
const LOCAL: &str = "http://localhost:3000";

async fn app() -> App {
    App::with(|config| {
        config.server.allowed_origins = vec![APP.to_owned(), LOCAL.to_owned()];
        config.limits.streams_per_user = 1;
    })
    .await
}

fn allowed(answer: &Answer) -> Option<&str> {
    let headers = answer.headers.get_all("access-control-allow-origin");
    assert!(headers.iter().count() < 2);
    answer.headers.get("access-control-allow-origin").map(|value| value.to_str().expect("text"))
}

fn varies_by_origin(answer: &Answer) -> bool {
    let lines = answer.headers.get_all("vary").iter();
    let mut names = lines.flat_map(|line| line.to_str().expect("text").split(','));
    names.any(|name| name.trim().eq_ignore_ascii_case("origin"))
}

#[tokio::test]
async fn responses_and_errors_are_readable_from_exact_origins_only() {
    let app = app().await;
    let operator = app.caller(Role::Operator).await;
    for path in ["/v1/auth/me", "/v1/nothing", "/v1/users", "/openapi.json", "/health/ready"] {
        for origin in [APP, LOCAL] {
            let request = operator.request(Method::GET, path).header("origin", origin);
            let answer = Caller::answer(request).await;
            assert_eq!(allowed(&answer), Some(origin), "{path}");
            assert_eq!(answer.headers["access-control-allow-credentials"], "true");
            let exposed = answer.headers["access-control-expose-headers"].to_str().expect("text");
            for name in
                ["Retry-After", "RateLimit", "RateLimit-Policy", "WWW-Authenticate", "X-Request-Id"]
            {
                assert!(exposed.split(", ").any(|exposed| exposed == name), "{name}: {exposed}");
            }
            assert!(varies_by_origin(&answer), "{path}");
        }
        for origin in [
            "null",
            "*",
            "https://app.example.com:8443",
            "http://app.example.com",
            "https://app.example.com.evil.com",
            "https://evil-app.example.com",
            "https://APP.example.com",
            "https://app.example.com/",
        ] {
            let request = operator.request(Method::GET, path).header("origin", origin);
            let answer = Caller::answer(request).await;
            assert_eq!(allowed(&answer), None, "{origin}");
            assert!(!answer.headers.contains_key("access-control-allow-credentials"));
            assert!(varies_by_origin(&answer), "{origin}");
        }
        let answer = operator.get(path).await;
        assert_eq!(allowed(&answer), None);
        assert!(varies_by_origin(&answer), "{path} without an origin");
    }
    app.finish().await;
}

#[tokio::test]
async fn streams_and_their_refusals_are_readable() {
    let app = app().await;
    let (operator, topology) = operator_with_topology(&app).await;
    let path = format!("/v1/topologies/{topology}/stream");
    let mut reader = operator.stream(&path, &format!("Origin: {APP}\r\n")).await;
    reader.expect("snapshot").await;
    assert_eq!(reader.header("access-control-allow-origin"), Some(APP));
    assert_eq!(reader.header("vary"), Some("Origin"));
    // The slot is taken.
    let refused = operator.request(Method::GET, &path).header("origin", APP);
    let refused = Caller::answer(refused).await;
    assert_eq!(allowed(&refused), Some(APP));
    assert!(refused.headers.contains_key("retry-after"));
    refused.problem(429);
    let path = format!("{path}?on_refusal=event");
    let mut event = operator.stream(&path, &format!("Origin: {APP}\r\n")).await;
    assert_eq!(event.header("access-control-allow-origin"), Some(APP));
    assert_eq!(event.expect("error").await.data["status"], 429);
    drop((reader, event));
    app.finish().await;
}

#[tokio::test]
async fn preflight_lists_methods_and_headers_for_allowed_origins() {
    let app = app().await;
    let preflight = |path: &'static str, origin: &'static str| {
        let request = app.anyone().request(Method::OPTIONS, path).header("origin", origin);
        request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
    };
    let answer = Caller::answer(preflight("/v1/tasks", APP)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(allowed(&answer), Some(APP));
    assert_eq!(answer.headers["access-control-allow-methods"], "GET, POST, HEAD");
    assert_eq!(answer.headers["access-control-max-age"], "7200");
    let headers = answer.headers["access-control-allow-headers"].to_str().expect("text");
    for name in ["Authorization", "Content-Type", "Last-Event-ID", "Lease-Token"] {
        assert!(headers.split(", ").any(|allowed| allowed == name), "{name}: {headers}");
    }
    let other = Caller::answer(preflight("/v1/tasks", "https://evil.example.com")).await;
    assert_eq!(allowed(&other), None);
    assert!(!other.headers.contains_key("access-control-allow-methods"));
    assert!(varies_by_origin(&other));
    Caller::answer(preflight("/v1/nothing", APP)).await.problem(404);
    // A request that is not a preflight runs no operation either.
    let plain = app.anyone().request(Method::OPTIONS, "/v1/tasks").header("origin", APP);
    Caller::answer(plain).await.problem(405);
    app.finish().await;
}

#[tokio::test]
async fn page_of_an_allowed_origin_can_use_every_header() {
    let app = app().await;
    let body = json!({ "username": "admin", "password": "wrong password" });
    let login = app.anyone().request(Method::POST, "/v1/auth/login").json(&body);
    let answer = Caller::answer(login.header("origin", APP)).await;
    assert_eq!(allowed(&answer), Some(APP));
    assert!(answer.headers.contains_key("www-authenticate"));
    answer.problem(401);
    app.finish().await;
}
