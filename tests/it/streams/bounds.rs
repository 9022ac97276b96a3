//! The bounds and the heartbeats of a stream of many topics apply to the whole stream.

use serde_json::json;

use crate::support::{
    App,
    events::publish,
    http2, soon,
    streams::{operator_with_topologies, path, snapshots, watch},
};

#[tokio::test]
async fn bounds_apply_to_the_whole_stream() {
    let app = App::start().await;
    let (operator, topologies) = operator_with_topologies(&app, 3).await;
    let mut reader = watch(&operator, &topologies, "max_events=2").await;
    let first = reader.expect("snapshot").await;
    assert!(first.text.starts_with("retry: "), "{}", first.text);
    reader.expect("snapshot").await;
    reader.expect_end().await;
    assert_eq!(reader.seen.matches("retry: ").count(), 1, "{}", reader.seen);
    let mut reader = watch(&operator, &topologies, "max_seconds=1").await;
    snapshots(&mut reader, &topologies).await;
    assert_eq!(reader.expect("stream.closed").await.data, json!({ "reason": "max_seconds" }));
    reader.expect_end().await;
    // The same on HTTP/2.
    let client = http2();
    let url = app.url(&path(&topologies[..1], "max_events=1"));
    let request = client.get(url).bearer_auth(operator.token.as_deref().expect("a token"));
    let text = request.send().await.expect("a response").text().await.expect("a body");
    let (retry, event) = text.split_once('\n').expect("a first line");
    assert!(retry.starts_with("retry: "), "{text}");
    assert!(event.starts_with("event: snapshot\ndata: {\"topic\":\"topology."), "{event}");
    app.finish().await;
}

#[tokio::test]
async fn many_topics_send_no_more_heartbeats_than_one() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 1).await;
    let (operator, topologies) = operator_with_topologies(&app, 8).await;
    let mut many = watch(&operator, &topologies, "").await;
    snapshots(&mut many, &topologies).await;
    let mut single = operator.watch(topologies[0], "").await;
    single.expect("snapshot").await;
    for topology in &topologies {
        publish(&app, *topology, 0..1, 10).await;
        many.expect("note").await;
    }
    let comments = |seen: &str| seen.lines().filter(|line| *line == ":").count();
    let before = comments(&many.seen);
    while comments(&single.seen) < 4 {
        soon("line", single.next_line()).await;
    }
    publish(&app, topologies[1], 1..2, 10).await;
    many.expect("note").await;
    let comments = comments(&many.seen) - before;
    assert!((2..=5).contains(&comments), "{comments} comments");
    drop((many, single));
    app.finish().await;
}
