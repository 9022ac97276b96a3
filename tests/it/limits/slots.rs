//! Limits: a slot is taken before the response starts and freed on every way out.

use std::{collections::BTreeSet, sync::Arc};

use entity::user::Role;
use futures_util::future::join_all;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Barrier};
use uuid::Uuid;

use crate::support::{
    app::{App, Caller, soon, until},
    sse::SseReader,
};

/// What one user may hold open in these tests.
const POLICY: &str = "\"streams\";q=1;qu=\"concurrent-requests\"";

/// One stream per user.
async fn narrow() -> (App, Caller, Uuid) {
    let app = App::with(|config| config.limits.streams_per_user = 1).await;
    let operator = app.caller(Role::Operator).await;
    let id = app.active_topology(&operator).await;
    (app, operator, id)
}

fn request(app: &App, method: &str, id: Uuid, caller: &Caller) -> String {
    format!(
        "{method} /v1/topologies/{id}/stream HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        app.address,
        caller.token.as_deref().expect("a token"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connects_at_once_leave_five_streams_and_tell_the_others_when_to_come_back() {
    streamgate::server::raise_descriptor_limit().expect("descriptors");
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let id = app.active_topology(&operator).await;
    let viewer = app.caller(Role::Viewer).await;
    let request: Arc<str> = request(&app, "GET", id, &viewer).into();
    let together = Arc::new(Barrier::new(1_000));
    let tasks = (0..1_000).map(|_| {
        let (request, together, address) =
            (Arc::clone(&request), Arc::clone(&together), app.address);
        tokio::spawn(async move {
            let socket = TcpStream::connect(address).await.expect("a connection");
            together.wait().await;
            SseReader::on(socket, &request).await
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let answers = join_all(tasks).await.into_iter().map(|answer| answer.expect("an answer"));
    let (mut open, refused): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.status() == 200);
    assert_eq!((open.len(), refused.len()), (5, 995));
    assert_eq!(app.gateway.limits.open_slots(), 5);
    let mut waits = BTreeSet::new();
    for answer in &refused {
        assert_eq!(answer.status(), 429, "{}", answer.head);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let policy = "\"streams\";q=5;qu=\"concurrent-requests\"";
        assert_eq!(answer.header("ratelimit-policy"), Some(policy));
        assert_eq!(answer.header("ratelimit"), Some("\"streams\";r=0"));
        let wait = answer.header("retry-after").expect("a Retry-After");
        waits.insert(wait.parse::<u64>().expect("seconds"));
    }
    assert!(waits.len() > 2 && *waits.first().expect("waits") >= 5, "not jittered: {waits:?}");
    assert!((app.metric("streamgate_slots_refused_total") - 995.0).abs() < f64::EPSILON);
    let left: BTreeSet<_> = open.iter().map(|open| open.header("ratelimit")).collect();
    assert_eq!(left.len(), 5, "each was told how many were left: {left:?}");
    drop(refused);
    // The five live: they see what happens next.
    for reader in &mut open {
        reader.expect("snapshot").await;
    }
    operator.mutate(id, 1).await.ok();
    for reader in &mut open {
        reader.expect("mutation.enqueued").await;
    }
    assert_eq!(app.gateway.limits.open_slots(), 5);
    drop(open);
    app.finish().await;
}

#[tokio::test]
async fn a_refusal_comes_before_any_stream_data_and_leaves_other_users_alone() {
    let (app, operator, id) = narrow().await;
    let other = app.caller(Role::Viewer).await;
    let mut held = operator.watch(id, "").await;
    held.expect("snapshot").await;
    let refused = operator.get(&format!("/v1/topologies/{id}/stream")).await;
    assert_eq!(refused.headers["ratelimit-policy"], POLICY);
    assert_eq!(refused.headers["ratelimit"], "\"streams\";r=0");
    let wait = refused.headers["retry-after"].to_str().expect("ASCII").to_owned();
    assert_eq!(refused.body["retry_after_seconds"].to_string(), wait);
    refused.problem(429);
    // Every session of the user counts, and so does a stream token; another user's do not.
    let tokens = json!({ "family": "topology", "id": id });
    let minted = operator.post("/v1/stream-tokens", tokens).await.ok();
    let url = minted["url"].as_str().expect("a URL");
    assert_eq!(app.anyone().stream(url, "").await.status(), 429);
    let me = operator.get("/v1/auth/me").await.ok();
    let again = app.log_in(me["username"].as_str().expect("a name")).await;
    assert_eq!(again.watch(id, "").await.status(), 429);
    let mut others = other.watch(id, "").await;
    assert_eq!((others.status(), others.header("ratelimit-policy")), (200, Some(POLICY)));
    others.expect("snapshot").await;
    assert_eq!(other.watch(id, "").await.status(), 429);
    operator.mutate(id, 1).await.ok();
    for reader in [&mut held, &mut others] {
        reader.expect("mutation.enqueued").await;
    }
    drop((held, others));
    app.finish().await;
}

/// The user's only slot must be free, now or in a moment, and give a whole stream.
async fn expect_free(app: &App, caller: &Caller, id: Uuid, way: &str) {
    until(way, async || app.gateway.limits.open_slots() == 0).await;
    let mut reader = caller.watch(id, "").await;
    assert_eq!(reader.status(), 200, "after {way}");
    reader.expect("snapshot").await;
    assert_eq!(caller.watch(id, "").await.status(), 429, "after {way}");
    drop(reader);
    until(way, async || app.gateway.limits.open_slots() == 0).await;
}

#[tokio::test]
async fn a_slot_comes_back_when_the_client_leaves_on_whatever_way() {
    let (app, operator, id) = narrow().await;
    let open = async || {
        let mut reader = operator.watch(id, "").await;
        reader.expect("snapshot").await;
        assert_eq!(app.gateway.limits.open_slots(), 1);
        reader
    };
    drop(open().await);
    expect_free(&app, &operator, id, "FIN").await;

    let mut half = open().await;
    half.socket.shutdown().await.expect("a FIN");
    expect_free(&app, &operator, id, "FIN of one side").await;
    drop(half);

    let reset = open().await;
    reset.socket.set_zero_linger().expect("an option");
    drop(reset);
    expect_free(&app, &operator, id, "RST").await;

    // Before it has read a byte.
    let mut socket = TcpStream::connect(app.address).await.expect("a connection");
    socket.write_all(request(&app, "GET", id, &operator).as_bytes()).await.expect("a request");
    socket.set_zero_linger().expect("an option");
    drop(socket);
    expect_free(&app, &operator, id, "RST before the head").await;

    let h2 = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    let url = app.url(&format!("/v1/topologies/{id}/stream"));
    let token = operator.token.as_deref().expect("a token");
    let mut stream = h2.get(url).bearer_auth(token).send().await.expect("an answer");
    assert_eq!(stream.status(), 200);
    soon("first bytes", stream.chunk()).await.expect("bytes");
    assert_eq!(app.gateway.limits.open_slots(), 1);
    drop(stream);
    expect_free(&app, &operator, id, "RST_STREAM").await;
    app.finish().await;
}

#[tokio::test]
async fn a_slot_comes_back_when_the_stream_ends_by_itself() {
    let (app, operator, id) = narrow().await;
    let mut counted = operator.watch(id, "max_events=2").await;
    counted.expect("snapshot").await;
    operator.mutate(id, 1).await.ok();
    counted.expect("mutation.enqueued").await;
    counted.expect_end().await;
    expect_free(&app, &operator, id, "max_events").await;

    let mut timed = operator.watch(id, "max_seconds=1").await;
    timed.expect("snapshot").await;
    let closed = timed.expect("stream.closed").await;
    assert_eq!(closed.data, json!({ "reason": "max_seconds" }));
    timed.expect_end().await;
    expect_free(&app, &operator, id, "max_seconds").await;

    let name = operator.get("/v1/auth/me").await.ok()["username"].to_string().replace('"', "");
    let leaving = app.log_in(&name).await;
    let mut stream = leaving.watch(id, "").await;
    stream.expect("snapshot").await;
    assert_eq!(leaving.post("/v1/auth/logout", json!(null)).await.status, 204);
    let closed = stream.expect("stream.closed").await;
    assert_eq!(closed.data, json!({ "reason": "session_revoked" }));
    stream.expect_end().await;
    expect_free(&app, &operator, id, "logout").await;

    let gone = app.active_topology(&operator).await;
    let mut stream = operator.watch(gone, "").await;
    stream.expect("snapshot").await;
    operator.set_status(gone, "tearing_down").await.ok();
    stream.expect("status").await;
    operator.set_status(gone, "torn_down").await.ok();
    let last = stream.expect("status").await.id.expect("an id");
    stream.expect("stream.closed").await;
    stream.expect_end().await;
    expect_free(&app, &operator, id, "torn_down").await;
    // A 204 holds nothing either.
    let done = operator.watch(gone, &format!("last_event_id={last}")).await;
    assert_eq!(done.status(), 204);
    expect_free(&app, &operator, id, "204").await;
    app.finish().await;
}

#[tokio::test]
async fn a_refused_stream_holds_no_slot_and_frees_none() {
    let (app, operator, id) = narrow().await;
    let other = app.active_topology(&operator).await;
    let body = json!({ "family": "topology", "id": other });
    let token = operator.post("/v1/stream-tokens", body).await.ok();
    let token = token["token"].as_str().expect("a token");
    let path = format!("/v1/topologies/{id}/stream");
    let nowhere = format!("/v1/topologies/{}/stream", Uuid::now_v7());
    let bound = format!("{path}?stream_token={token}");
    let refuse = async |slots: u32| {
        operator.get(&nowhere).await.problem(404);
        app.anyone().get(&bound).await.problem(403);
        app.anyone().get(&path).await.problem(401);
        operator.get(&format!("{path}?max_events=0")).await.problem(400);
        assert_eq!(app.gateway.limits.open_slots(), slots);
    };
    refuse(0).await;
    expect_free(&app, &operator, id, "refusals").await;
    let mut held = operator.watch(id, "").await;
    held.expect("snapshot").await;
    refuse(1).await;
    operator.get(&path).await.problem(429);
    drop(held);
    app.finish().await;
}

#[tokio::test]
async fn head_answers_like_the_stream_and_takes_no_slot() {
    let (app, operator, id) = narrow().await;
    let held = operator.watch(id, "").await;
    for _ in 0..3 {
        let answer = SseReader::open(app.address, &request(&app, "HEAD", id, &operator)).await;
        assert_eq!(answer.status(), 200);
        for name in ["content-type", "cache-control", "x-accel-buffering", "referrer-policy"] {
            assert_eq!(answer.header(name), held.header(name), "{name}");
        }
        assert_eq!(answer.header("content-length"), None, "a stream has no length");
        assert_eq!(app.gateway.limits.open_slots(), 1);
    }
    let nowhere = request(&app, "HEAD", Uuid::now_v7(), &operator);
    assert_eq!(SseReader::open(app.address, &nowhere).await.status(), 404);
    drop(held);
    app.finish().await;
}

#[tokio::test]
async fn on_request_a_refusal_is_a_stream_of_one_error_that_an_event_source_can_read() {
    let (app, operator, id) = narrow().await;
    let other = app.active_topology(&operator).await;
    let body = json!({ "family": "topology", "id": other });
    let token = operator.post("/v1/stream-tokens", body).await.ok();
    let token = token["token"].as_str().expect("a token");
    let held = operator.watch(id, "").await;
    let anyone = app.anyone();
    let nowhere = Uuid::now_v7();
    for (caller, id, query, status) in [
        (&operator, id, String::new(), 429),
        (&anyone, id, String::new(), 401),
        (&anyone, id, "&stream_token=forged".to_owned(), 401),
        (&anyone, id, format!("&stream_token={token}"), 403),
        (&operator, nowhere, String::new(), 404),
        (&operator, id, "&max_seconds=0".to_owned(), 400),
    ] {
        let mut refused = caller.watch(id, &format!("on_refusal=event{query}")).await;
        assert_eq!(refused.status(), 200);
        assert_eq!(refused.header("content-type"), Some("text/event-stream"));
        assert_eq!(refused.header("cache-control"), Some("no-store, no-transform"));
        let error = refused.expect("error").await;
        assert_eq!(error.data["status"], status, "{}", error.text);
        let request = refused.header("x-request-id").expect("an id");
        assert_eq!(error.data["instance"], format!("urn:uuid:{request}"));
        assert_eq!(error.id, None, "the cursor stays");
        let retry = error.retry.expect("a retry");
        assert!((30_000..=60_000).contains(&retry), "{retry}");
        refused.expect_end().await;
        assert_eq!(app.gateway.limits.open_slots(), 1, "{status}");
        // Without the wish it is a status, and other operations never answer so.
        assert_eq!(caller.watch(id, query.trim_start_matches('&')).await.status(), status);
    }
    operator.get(&format!("/v1/topologies/{nowhere}?on_refusal=event")).await.problem(404);
    operator.get(&format!("/v1/topologies/{id}/stream?on_refusal=x")).await.problem(400);
    drop(held);
    app.finish().await;
}

#[tokio::test]
async fn requests_and_openings_of_streams_are_counted_per_user_and_minute() {
    let app = App::with(|config| {
        config.limits.requests_per_minute = 8;
        config.limits.stream_opens_per_minute = 3;
    })
    .await;
    let operator = app.caller(Role::Operator).await;
    let id = app.active_topology(&operator).await;
    let viewer = app.caller(Role::Viewer).await;
    for _ in 0..3 {
        viewer.watch(id, "").await.expect("snapshot").await;
    }
    let refused = viewer.watch(id, "").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.header("ratelimit-policy"), Some("\"stream-opens\";q=3;w=60"));
    for _ in 0..8 {
        viewer.get("/v1/auth/me").await.ok();
    }
    let refused = viewer.get("/v1/auth/me").await;
    assert_eq!(refused.headers["ratelimit-policy"], "\"requests\";q=8;w=60");
    let limit = refused.headers["ratelimit"].to_str().expect("ASCII").to_owned();
    assert!(limit.starts_with("\"requests\";r=0;t="), "{limit}");
    assert!(refused.headers.contains_key("retry-after"));
    refused.problem(429);
    operator.get("/v1/auth/me").await.ok();
    app.finish().await;
}
