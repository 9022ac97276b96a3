//! HEAD (RFC 9110, section 9.3.2): the head of the response to a GET, without its body.

use std::collections::BTreeMap;

use reqwest::{Method, header::HeaderMap};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use uuid::Uuid;

use crate::support::{
    App, Caller, http2, id_of,
    openapi::{Operation, assert_none, operations},
    prompt,
    raw::head,
    soon,
    tunnel::TunnelClient,
};

/// Fields that differ between any two responses, or that belong to the connection.
const VARYING: [&str; 6] =
    ["date", "x-request-id", "ratelimit", "connection", "transfer-encoding", "ratelimit-policy"];

/// Operations whose response has another length with each request.
const VARYING_LENGTH: [&str; 4] = ["caller_get", "latency_get", "metrics_get", "readiness_get"];

/// Creates one resource of each family. Returns the id for each name in a path, by the first part of the path.
async fn ids(app: &App, admin: &Caller) -> BTreeMap<&'static str, Vec<Uuid>> {
    let topology = app.active_topology(admin).await;
    admin.mutate(topology, 1).await.ok();
    let task = admin.post("/v1/tasks", json!({ "task_type": "demo" })).await.ok();
    let mcp_session = admin.post("/v1/mcp-sessions", json!({})).await.ok();
    let prompt = prompt::create(admin).await;
    let tunnel = TunnelClient::legacy(admin, "head").await;
    let api_key = admin.post("/v1/api-keys", json!({ "name": "worker" })).await.ok();
    BTreeMap::from([
        ("api-keys", vec![id_of(&api_key)]),
        ("topologies", vec![topology]),
        ("tasks", vec![id_of(&task)]),
        ("mcp-sessions", vec![id_of(&mcp_session)]),
        ("sessions", vec![prompt.session, prompt.id]),
        ("reverse-proxy", vec![tunnel.id]),
        (".well-known", vec![tunnel.id, tunnel.id]),
        ("users", vec![admin.id().await]),
    ])
}

fn comparable(headers: &HeaderMap) -> BTreeMap<String, String> {
    let fields = headers.iter().filter(|(name, _)| !VARYING.contains(&name.as_str()));
    let text = |value: &reqwest::header::HeaderValue| value.to_str().expect("text").to_owned();
    fields.map(|(name, value)| (name.to_string(), text(value))).collect()
}

#[tokio::test]
async fn head_of_every_operation_has_the_fields_of_its_get() {
    // One stream at most: a HEAD that took a slot would refuse the GET after it.
    let app = App::with(|config| config.limits.streams_per_user = 1).await;
    let admin = app.log_in("admin").await;
    let ids = ids(&app, &admin).await;
    let document = admin.get("/openapi.json").await.ok();
    let topic = format!("topology.{}", ids["topologies"][0]);
    let (mut faults, mut tried, mut streams) = (Vec::new(), 0, 0);
    for operation in operations(&document).iter().filter(|operation| operation.method == "get") {
        // The page needs an authorization, the callback a state, a tunnel a handshake, and MCP a session.
        if ["oauth_page_get", "oauth_callback"].contains(&operation.id)
            || operation.id.starts_with("tunnel_connect")
            || operation.id.starts_with("mcp_open")
        {
            continue;
        }
        let path = path_of(operation, &ids);
        let path =
            if operation.id == "topic_stream" { format!("{path}?topic={topic}") } else { path };
        for http in [reqwest::Client::new(), http2()] {
            let caller = Caller { http, ..admin.clone() };
            let get =
                soon("a head", caller.request(Method::GET, &path).send()).await.expect("a head");
            assert_eq!(get.status(), 200, "{path}");
            let (fields, is_stream) = (get.headers().clone(), operation.is_stream());
            if is_stream {
                drop(get);
                app.slots_freed().await;
            }
            let head = Caller::answer(caller.request(Method::HEAD, &path)).await;
            let mut wanted = comparable(&fields);
            let mut got = comparable(&head.headers);
            if VARYING_LENGTH.contains(&operation.id) {
                // The bodies differ: they have counters and times.
                let lengths = [wanted.remove("content-length"), got.remove("content-length")];
                if lengths.contains(&None) {
                    faults.push(format!("{path}: {lengths:?}"));
                }
            }
            if head.status != 200 || head.body != "" || got != wanted {
                faults.push(format!("{path}: {} {got:?} for {wanted:?}", head.status));
            }
            if fields.contains_key("content-length") == is_stream {
                faults.push(format!("{path}: the GET has {:?}", fields.get("content-length")));
            }
            tried += 1;
            streams += u32::from(is_stream);
        }
    }
    assert_none(&faults);
    assert!(tried > 60 && streams >= 12, "{tried}, {streams}");
    app.finish().await;
}

fn path_of(operation: &Operation<'_>, ids: &BTreeMap<&'static str, Vec<Uuid>>) -> String {
    let path = operation.path.strip_prefix("/v1").unwrap_or(operation.path);
    let family = path.split('/').nth(1).unwrap_or_default();
    operation.ids().iter().enumerate().fold(operation.path.to_owned(), |path, (at, name)| {
        path.replace(&format!("{{{name}}}"), &ids[family][at].to_string())
    })
}

#[tokio::test]
async fn head_of_a_refusal_has_the_length_of_its_problem() {
    let app = App::start().await;
    let missing = format!("/v1/topologies/{}", Uuid::now_v7());
    let viewer = app.log_in("admin").await;
    for (caller, path, status) in [
        (&app.anyone(), "/v1/topologies", 401),
        (&app.anyone(), "/v1/streams", 401),
        (&app.anyone(), "/v1/streams?on_refusal=event", 200),
        (&app.anyone(), "/v1/auth/login", 405),
        (&viewer, missing.as_str(), 404),
        (&viewer, "/v1/streams", 400),
    ] {
        let get = Caller::answer(caller.request(Method::GET, path)).await;
        let head = Caller::answer(caller.request(Method::HEAD, path)).await;
        assert_eq!((head.status.as_u16(), &head.body), (status, &json!("")), "{path}");
        assert!(head.headers.contains_key("content-length"), "{path}: {head:?}");
        let (mut got, mut wanted) = (comparable(&head.headers), comparable(&get.headers));
        // This length varies with the number of digits in `retry`.
        if path.ends_with("=event") {
            got.remove("content-length");
            wanted.remove("content-length");
        }
        assert_eq!(got, wanted, "{path}");
    }
    app.finish().await;
}

#[tokio::test]
async fn head_of_a_stream_uses_no_quota_of_streams() {
    let app = App::with(|config| {
        config.limits.streams_per_user = 1;
        config.limits.stream_opens_per_minute = 1;
    })
    .await;
    let admin = app.log_in("admin").await;
    let topology = app.active_topology(&admin).await;
    let path = format!("/v1/topologies/{topology}/stream");
    for _ in 0..3 {
        let head = Caller::answer(admin.request(Method::HEAD, &path)).await;
        assert_eq!((head.status.as_u16(), head.body), (200, json!("")));
    }
    let mut stream = admin.watch(topology, "").await;
    stream.expect("snapshot").await;
    // With the only slot taken, too.
    let head = Caller::answer(admin.request(Method::HEAD, &path)).await;
    assert_eq!(head.status, 200);
    drop(stream);
    app.finish().await;
}

#[tokio::test]
async fn connection_is_usable_after_a_head() {
    let app = App::start().await;
    let mut socket = TcpStream::connect(app.address).await.expect("a connection");
    let first = "HEAD /docs HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let second = head("HEAD", "/health/live", "");
    socket.write_all(format!("{first}{second}").as_bytes()).await.expect("two requests");
    let mut answer = String::new();
    soon("end", socket.read_to_string(&mut answer)).await.expect("two responses");
    let heads: Vec<_> = answer.split_terminator("\r\n\r\n").collect();
    assert_eq!(heads.len(), 2, "{answer}");
    for (head, media_type) in heads.iter().zip(["text/html", "application/json"]) {
        assert!(head.starts_with("HTTP/1.1 200") && head.contains(media_type), "{head}");
    }
    app.finish().await;
}
