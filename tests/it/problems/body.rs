//! Errors on the wire: problem documents (RFC 9457), the framework's own included.

use entity::user::Role;
use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use uuid::Uuid;

use crate::support::app::{Answer, App, PASSWORD, soon};

/// Checks that it is a problem document of this status and kind with nothing in it that is nobody's
/// business, and gives the detail.
#[track_caller]
pub fn problem(answer: Answer, status: u16, kind: &str) -> String {
    let body = answer.body.clone();
    let detail = answer.problem(status);
    assert_eq!(body["type"], format!("https://streamgate.dev/problems/{kind}"), "{body}");
    let mut names: Vec<_> = body.as_object().expect("an object").keys().cloned().collect();
    names.retain(|name| name != "retry_after_seconds");
    names.sort();
    assert_eq!(names, ["detail", "instance", "status", "title", "type"]);
    let text = body.to_string().to_lowercase();
    for inner in ["src/", ".rs", "panicked", "poem", "sqlx", "sea_orm", "dberr", "select ", "table"]
    {
        assert!(!text.contains(inner), "{inner}: {text}");
    }
    detail
}

/// Sends bytes and reads until the server closes.
pub async fn raw(app: &App, request: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(app.address).await.expect("a connection");
    socket.write_all(request).await.expect("a request");
    let mut bytes = Vec::new();
    soon("end", socket.read_to_end(&mut bytes)).await.expect("an answer");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.get(9..12)).expect("a status");
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").expect("a header");
        (name.parse().expect("a name"), value.parse().expect("a value"))
    });
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
    Answer { status: status.parse().expect("digits"), headers: headers.collect(), body }
}

/// A head that asks for the connection to be closed, with these lines in it.
pub fn head(method: &str, path: &str, lines: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n")
}

/// The head of a login with these lines, and a body.
fn login(lines: &str, body: &str) -> String {
    head("POST", "/v1/auth/login", &format!("Content-Type: application/json\r\n{lines}")) + body
}

#[tokio::test]
async fn a_path_that_is_not_there_is_404_for_anybody() {
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
async fn a_method_that_is_not_there_is_405_with_those_that_are() {
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
async fn a_body_of_another_type_is_415() {
    let app = App::start().await;
    let body = json!({ "username": "admin", "password": PASSWORD }).to_string();
    let length = format!("Content-Length: {}\r\n", body.len());
    let post = async |content_type: &str| {
        let head = head("POST", "/v1/auth/login", &format!("{content_type}{length}"));
        raw(&app, (head + &body).as_bytes()).await
    };
    for content_type in [
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/jsonp\r\n",
        "Content-Type: nonsense\r\n",
        "",
    ] {
        let detail = problem(post(content_type).await, 415, "unsupported-media-type");
        assert!(detail.contains("application/json, named in Content-Type"), "{detail}");
    }
    for content_type in [
        "Content-Type: application/json\r\n",
        "Content-Type: application/json; charset=utf-8\r\n",
        "Content-Type: Application/JSON;charset=UTF-8\r\n",
    ] {
        assert_eq!(post(content_type).await.status, 200, "{content_type}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_body_that_is_not_what_is_documented_is_400() {
    let app = App::start().await;
    for body in [
        "",
        "{",
        "null",
        "[]",
        "\"text\"",
        "{\"username\": \"admin\"}",
        "{\"username\": {}, \"password\": \"p\"}",
        "{\"username\": null, \"password\": \"p\"}",
        "{\"username\": \"admin\", \"password\": [\"p\"]}",
        "{\"username\": \"admin\", \"password\": \"p\"} trailing",
        "{\"username\": \"\\ud800\", \"password\": \"p\"}",
        &"[".repeat(8_000),
    ] {
        let lines = format!("Content-Length: {}\r\n", body.len());
        let answer = raw(&app, login(&lines, body).as_bytes()).await;
        assert_eq!(answer.status, 400, "{body:.60}: {answer:?}");
        problem(answer, 400, "bad-request");
    }
    let not_utf8 = [login("Content-Length: 3\r\n", "").as_bytes(), b"\"\xff\""].concat();
    problem(raw(&app, &not_utf8).await, 400, "bad-request");
    app.finish().await;
}

#[tokio::test]
async fn what_decides_something_may_be_sent_once() {
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
        (&stream, bearer.clone() + &twice("Last-Event-ID: a-1"), "Last-Event-ID"),
        (&stream, bearer.clone() + &twice("Lease-Token: a"), "Lease-Token"),
        ("/health/live", twice("Content-Type: application/json"), "Content-Type"),
        ("/health/live?stream_token=a&stream_token=a", String::new(), "stream_token"),
        (&format!("{stream}?last_event_id=a-1&last%5Fevent_id=a-2"), bearer, "last_event_id"),
    ] {
        let answer = raw(&app, head("GET", path, &lines).as_bytes()).await;
        let detail = problem(answer, 400, "bad-request");
        assert_eq!(detail, format!("{name} may be sent only once"), "{path}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_number_is_not_taken_for_a_text() {
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
async fn what_was_sent_is_not_repeated_in_the_error() {
    let app = App::start().await;
    // Clients log the errors that they get; secrets have no place there.
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
async fn parameters_and_fields_out_of_their_bounds_are_400() {
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

#[tokio::test]
async fn a_body_over_the_limit_is_413_announced_or_not() {
    let app = App::with(|config| config.server.body_limit_bytes = 1_024).await;
    // Exactly as large as is allowed.
    let fits = json!({ "username": "admin", "password": PASSWORD }).to_string();
    let fits = format!("{fits:1024}");
    let lines = "Content-Length: 1024\r\n";
    assert_eq!(raw(&app, login(lines, &fits).as_bytes()).await.status, 200);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let body = format!("400\r\n{fits}\r\n0\r\n\r\n");
    assert_eq!(raw(&app, login(chunked, &body).as_bytes()).await.status, 200);

    let body = format!("400\r\n{fits}\r\n1\r\n \r\n0\r\n\r\n");
    for (lines, body) in [
        ("Content-Length: 1025\r\n", format!("{fits} ")),
        // Refused before it is sent.
        ("Content-Length: 999999999999\r\n", String::new()),
        (chunked, body),
        // A chunk that is only announced.
        (chunked, format!("400\r\n{fits}\r\n1\r\n ")),
    ] {
        let answer = raw(&app, login(lines, &body).as_bytes()).await;
        let detail = problem(answer, 413, "payload-too-large");
        assert_eq!(detail, "the body is larger than 1024 bytes");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_408() {
    let app = App::with(|config| config.server.body_timeout_seconds = 1).await;
    for (lines, body) in [
        ("Content-Length: 100\r\n", "{"),
        ("Content-Length: 100\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "1\r\n{\r\n"),
    ] {
        let answer = raw(&app, login(lines, body).as_bytes()).await;
        let detail = problem(answer, 408, "request-timeout");
        assert_eq!(detail, "the body did not arrive in time");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_head_has_the_status_of_a_get_and_no_body() {
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

#[tokio::test]
async fn a_fault_inside_shows_the_id_of_the_request_and_nothing_else() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let database = app.gateway.database.writer();
    database.execute_unprepared("DROP TABLE refresh_token").await.expect("a broken database");
    let login = json!({ "username": "admin", "password": PASSWORD });
    let first = admin.post("/v1/auth/login", login.clone()).await;
    let second = admin.post("/v1/auth/login", login).await;
    assert_ne!(first.body["instance"], second.body["instance"]);
    for answer in [first, second] {
        assert_eq!(problem(answer, 500, "internal"), "a fault of the gateway");
    }
    // One request failed, the service goes on.
    admin.get("/v1/auth/me").await.ok();
    app.finish().await;
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own_and_stays_out_of_caches_and_referrers() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let mut ids = std::collections::BTreeSet::new();
    for path in ["/v1/users", "/v1/users", "/nothing", "/health/live", "/docs", "/metrics"] {
        let answer = admin.get(path).await;
        let text = |name: &str| answer.headers[name].to_str().expect("text").to_owned();
        let id: Uuid = text("x-request-id").parse().expect("a UUID");
        assert!(ids.insert(id), "{path}");
        assert_eq!(text("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(text("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(text("cache-control"), "no-store", "{path}");
    }
    app.finish().await;
}
