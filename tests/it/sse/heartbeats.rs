//! Heartbeats: comments on streams that are silent.

use std::time::Duration;

use streamgate::event::{Family, Topic};

use crate::support::{
    App,
    events::note,
    mutation::expect_numbers,
    topology::{app_with_topology, operator_with_topology},
};

#[tokio::test]
async fn silent_stream_is_kept_open_by_comments() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 1).await;
    let (operator, topology) = operator_with_topology(&app).await;
    let mut reader = operator.watch(topology, "").await;
    reader.expect("snapshot").await;
    for _ in 0..2 {
        // A comment is one line: with a blank line, several clients would deliver an empty message.
        assert_eq!(reader.next_line().await, ":\n");
    }
    operator.mutate(topology, 7).await.ok();
    expect_numbers(&mut reader, [7]).await;
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn heartbeats_are_sent_only_on_silent_streams() {
    let (app, operator, topology) =
        app_with_topology(|config| config.streams.heartbeat_seconds = 1).await;
    let silent = app.active_topology(&operator).await;
    let mut busy = operator.watch(topology, "").await;
    let mut quiet = operator.watch(silent, "").await;
    busy.expect("snapshot").await;
    quiet.expect("snapshot").await;
    let topic = Topic::new(Family::Topology, topology);
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    for number in 0..20 {
        ticks.tick().await;
        app.gateway.hub.publish(topic.clone(), vec![note(number, 1)]).await.expect("a commit");
        let block = busy.expect("note").await;
        assert_eq!(block.data["number"], number);
        assert!(block.text.starts_with("event: "), "no heartbeat: {}", block.text);
    }
    for _ in 0..3 {
        assert_eq!(quiet.next_line().await, ":\n");
    }
    drop((busy, quiet));
    app.finish().await;
}
