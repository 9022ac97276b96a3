//! The bytes of a stream, on HTTP/1.1 and HTTP/2.

use entity::user::Role;
use serde_json::json;
use streamgate::event::Cursor;

use crate::support::{App, http2, topology::operator_with_topology};

#[tokio::test]
async fn head_forbids_buffering_and_the_first_bytes_come_at_once() {
    let app = App::start().await;
    let (_, topology) = operator_with_topology(&app).await;
    let mut reader = app.caller(Role::Viewer).await.watch(topology, "").await;
    assert_eq!(reader.status(), 200);
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store, no-transform"),
        ("x-accel-buffering", "no"),
        ("referrer-policy", "no-referrer"),
        ("ratelimit", "\"streams\";r=4"),
        ("ratelimit-policy", "\"streams\";q=5;qu=\"concurrent-requests\""),
    ] {
        assert_eq!(reader.header(name), Some(value), "{name}");
    }
    assert_eq!(reader.header("content-encoding"), None);
    // The first line belongs to the block of the first event. A block without data would be an empty message.
    let first = reader.expect("snapshot").await;
    let retry = first.retry.expect("a retry");
    let cursor = first.id.expect("an id");
    let start = format!("retry: {retry}\nevent: snapshot\ndata: {{");
    assert!(reader.seen.starts_with(&start), "{}", reader.seen);
    // The cursor is the last line: a client that stores it at once has all of the event then.
    assert!(reader.seen.ends_with(&format!("}}\nid: {cursor}\n\n")), "{}", reader.seen);
    assert!((3_000..=8_000).contains(&retry), "{retry}");
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn resumed_stream_without_events_sends_its_first_line_at_once() {
    let app = App::without_heartbeat().await;
    let (operator, topology) = operator_with_topology(&app).await;
    let mut cursor = operator.watch(topology, "").await.expect("snapshot").await.id;
    for (number, path) in (1..).zip([
        format!("/v1/topologies/{topology}/stream"),
        format!("/v1/streams?topic=topology.{topology}"),
    ]) {
        let last = format!("Last-Event-ID: {}\r\n", cursor.expect("an id"));
        let mut reader = operator.stream(&path, &last).await;
        let line = reader.next_line().await;
        let retry = line.strip_prefix("retry: ").and_then(|line| line.strip_suffix('\n'));
        assert!(retry.is_some_and(|retry| retry.parse::<u64>().is_ok()), "{line:?}");
        assert_eq!(reader.body, b"", "nothing after the first line");
        // The event completes the block.
        operator.mutate(topology, number).await.ok();
        let event = reader.expect("mutation.enqueued").await;
        assert!(event.text.starts_with("event: "), "{}", event.text);
        cursor = event.id;
    }
    app.finish().await;
}

#[tokio::test]
async fn events_have_the_bytes_of_the_sse_standard() {
    let app = App::start().await;
    let (operator, topology) = operator_with_topology(&app).await;
    let mut reader = operator.watch(topology, "").await;
    let snapshot = reader.expect("snapshot").await;
    let cursor: Cursor = snapshot.id.clone().expect("an id").parse().expect("a cursor");
    assert_eq!(cursor.seq, 2, "pending to deploying to active");
    assert_eq!(snapshot.data["topology"]["status"], "active");
    assert_eq!(snapshot.data["mutations"], json!([]));
    assert_eq!(snapshot.data.get("reset"), None);

    // Characters that some clients treat as a line end, and characters that JSON escapes.
    let payload = json!({ "text": "a\u{2028}b\u{2029}c\u{85}d\r\ne\0", "number": 1 });
    let path = format!("/v1/topologies/{topology}/mutations");
    let mutation = operator.post(&path, json!({ "op": "add_lan", "payload": payload })).await.ok();
    let event = reader.expect("mutation.enqueued").await;
    assert_eq!(event.data, mutation, "the stream and REST show the same");
    let data = mutation
        .to_string()
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
        .replace('\u{85}', "\\u0085");
    let id: Cursor = event.id.expect("an id").parse().expect("a cursor");
    assert_eq!((id.epoch, id.seq), (cursor.epoch, 3));
    assert_ne!(id.nonce, cursor.nonce);
    assert_eq!(event.text, format!("event: mutation.enqueued\ndata: {data}\nid: {id}\n\n"));
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn http_2_carries_the_same_bytes() {
    let app = App::start().await;
    let (operator, topology) = operator_with_topology(&app).await;
    for number in 0..3 {
        operator.mutate(topology, number).await.ok();
    }
    let mut reader = operator.watch(topology, "max_events=1").await;
    let snapshot = reader.expect("snapshot").await;
    let client = http2();
    let answer = client
        .get(app.url(&format!("/v1/topologies/{topology}/stream?max_events=1")))
        .bearer_auth(operator.token.as_deref().expect("a token"))
        .send()
        .await
        .expect("a response");
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    let body = answer.text().await.expect("a body");
    let after_retry = |text: &str| text.split_once('\n').expect("a first line").1.to_owned();
    assert!(body.starts_with("retry: "), "{body}");
    assert_eq!(after_retry(&body), after_retry(&snapshot.text));
    app.finish().await;
}
