//! A slot is taken before the response starts, and freed in every case in which the stream ends.

use std::{collections::BTreeSet, sync::Arc};

use entity::user::Role;
use futures_util::future::join_all;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Barrier};

use crate::{
    limits::one_slot::{POLICY, expect_free, narrow, request},
    support::{App, SseReader, http2, soon},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_simultaneous_connects_open_only_five_streams() {
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
    let answers = join_all(tasks).await.into_iter().map(|answer| answer.expect("a response"));
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
    assert_eq!(left.len(), 5, "each response contains the number of free slots: {left:?}");
    drop(refused);
    // The five streams work: they get the next event.
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
async fn refusal_comes_before_stream_data_and_affects_one_user() {
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
    // Streams of every login session and stream token of the user count. Streams of other users do
    // not.
    let minted = operator.mint(id).await;
    let url = minted["url"].as_str().expect("a URL");
    assert_eq!(app.anyone().stream(url, "").await.status(), 429);
    let me = operator.me().await;
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

#[tokio::test]
async fn slot_is_freed_after_every_kind_of_disconnect() {
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

    // The client resets the connection before it has read a byte.
    let mut socket = TcpStream::connect(app.address).await.expect("a connection");
    socket.write_all(request(&app, "GET", id, &operator).as_bytes()).await.expect("a request");
    socket.set_zero_linger().expect("an option");
    drop(socket);
    expect_free(&app, &operator, id, "RST before the head").await;

    let h2 = http2();
    let url = app.url(&format!("/v1/topologies/{id}/stream"));
    let token = operator.token.as_deref().expect("a token");
    let mut stream = h2.get(url).bearer_auth(token).send().await.expect("a response");
    assert_eq!(stream.status(), 200);
    soon("first bytes", stream.chunk()).await.expect("bytes");
    assert_eq!(app.gateway.limits.open_slots(), 1);
    drop(stream);
    expect_free(&app, &operator, id, "RST_STREAM").await;
    app.finish().await;
}

#[tokio::test]
async fn slot_is_freed_when_the_stream_ends_by_itself() {
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

    let name = operator.me().await["username"].to_string().replace('"', "");
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
    // A 204 holds no slot either.
    let done = operator.watch(gone, &format!("last_event_id={last}")).await;
    assert_eq!(done.status(), 204);
    expect_free(&app, &operator, id, "204").await;
    app.finish().await;
}
