//! The log has the id of every error, and no secret.

use serde_json::{Value, json};

use crate::support::{
    Answer, Caller, Store, id_of,
    process::{ADMIN, Process, streamgate},
};

/// The request id of an error.
fn request_id(answer: Answer, status: u16) -> String {
    let id = answer.headers["x-request-id"].to_str().expect("ASCII").to_owned();
    answer.problem(status);
    id
}

fn text(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_else(|| panic!("no {name}: {body}")).to_owned()
}

#[tokio::test]
async fn log_holds_every_error_id_and_no_secret() {
    let store = Store::new().await;
    let mut serve = streamgate(&store, ["serve"]);
    serve
        .env("STREAMGATE_ADMIN_PASSWORD", ADMIN)
        .env("STREAMGATE_LOG__FILTER", "info,streamgate=trace")
        .env("STREAMGATE_LOG__FORMAT", "json");
    let process = Process::start(&mut serve).await;
    let anyone = process.anyone();
    let login = |password: Value| {
        anyone.post("/v1/auth/login", json!({ "username": "admin", "password": password }))
    };
    let mut errors = vec![
        request_id(login(json!("a-wrong-password")).await, 401),
        request_id(login(json!(["an-odd-password"])).await, 400),
        request_id(login(json!("x".repeat(1_025))).await, 400),
    ];
    let first = login(json!(ADMIN)).await.ok();
    let refresh = json!({ "refresh_token": first["refresh_token"] });
    let second = anyone.post("/v1/auth/refresh", refresh).await.ok();
    let forged = json!({ "refresh_token": "a-forged-refresh-token" });
    errors.push(request_id(anyone.post("/v1/auth/refresh", forged).await, 401));
    let access = text(&second, "access_token");
    let admin = Caller::at(process.address, Some(access.clone()));
    let user = json!({ "username": "ada", "password": "a-users-password", "role": "viewer" });
    let ada = id_of(&admin.post("/v1/users", user.clone()).await.ok());
    errors.push(request_id(admin.post("/v1/users", user).await, 409));
    let change = json!({ "password": "a-changed-password" });
    let path = format!("/v1/users/{ada}");
    admin.call(reqwest::Method::PATCH, &path, Some(change)).await.ok();

    let id = id_of(&admin.post("/v1/topologies", json!({ "name": "lab" })).await.ok());
    let minted = admin.mint(id).await;
    let (stream, url) = (text(&minted, "token"), text(&minted, "url"));
    let mut reader = anyone.stream(&url, "").await;
    reader.expect("snapshot").await;
    admin.set_status(id, "deploying").await.ok();
    reader.expect("status").await;
    let path = format!("/v1/topologies/{id}/stream");
    for query in [
        format!("access_token={access}"),
        format!("stream_token={access}"),
        format!("token={access}"),
        format!("stream_token={stream}x"),
        format!("stream_token={stream}&max_events=0"),
    ] {
        let status = if query.ends_with("=0") { 400 } else { 401 };
        errors.push(request_id(anyone.get(&format!("{path}?{query}")).await, status));
    }
    errors.push(request_id(anyone.get(&format!("/nowhere?stream_token={stream}")).await, 404));
    let basic = "Authorization: Basic YS1iYXNpYy1jcmVkZW50aWFs\r\nCookie: a-cookie=1\r\n";
    assert_eq!(anyone.stream("/v1/auth/me", basic).await.status(), 401);
    let bearer = "Authorization: Bearer a-bearer-credential\r\n";
    assert_eq!(anyone.stream("/v1/auth/me", bearer).await.status(), 401);
    assert_eq!(admin.post("/v1/auth/logout", json!(null)).await.status, 204);
    let closed = reader.expect("stream.closed").await;
    assert_eq!(closed.data["reason"], "session_revoked");
    errors.push(request_id(admin.get("/v1/auth/me").await, 401));
    drop(reader);
    let log = process.stop().await;

    let mut secrets: Vec<String> = [
        ADMIN,
        "a-wrong-password",
        "an-odd-password",
        "xxxxxxxxxx",
        "a-forged-refresh-token",
        "a-users-password",
        "a-changed-password",
        "YS1iYXNpYy1jcmVkZW50aWFs",
        "a-cookie",
        "a-bearer-credential",
        "Bearer ",
        "argon2",
    ]
    .map(str::to_owned)
    .into();
    for tokens in [&first, &second] {
        secrets.push(text(tokens, "refresh_token"));
    }
    for token in [&text(&first, "access_token"), &access, &stream] {
        // Header, claims and signature: no part of a token may be in the log.
        secrets.extend(token.split('.').map(str::to_owned));
    }
    if let Some(url) = store.url() {
        secrets.push(url);
    }
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON on every line")).collect();
    for id in errors {
        let about = |line: &&Value| line["request_id"] == *id;
        let lines: Vec<&Value> = lines.iter().filter(about).collect();
        assert!(!lines.is_empty(), "no line about {id}");
        assert!(lines.iter().any(|line| line["status"].as_u64() >= Some(400)), "{lines:?}");
    }
    assert!(lines.len() > 20, "{log}");
    store.remove().await;
}
