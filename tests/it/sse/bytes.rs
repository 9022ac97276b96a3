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
    let first = reader.next_block().await.expect("a first block");
    let retry = first.retry.expect("a retry");
    assert_eq!(first.text, format!(":\nretry: {retry}\n\n"));
    assert!((3_000..=8_000).contains(&retry), "{retry}");
    drop(reader);
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
    assert_eq!(event.text, format!("id: {id}\nevent: mutation.enqueued\ndata: {data}\n\n"));
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
    let (_, events) = body.split_once("\n\n").expect("a first block");
    assert_eq!(events, snapshot.text);
    app.finish().await;
}
