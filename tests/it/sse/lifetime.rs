//! From the snapshot to the end of a stream.

use serde_json::json;

use crate::support::{App, mutation::expect_numbers, topology::operator_with_topology, until};

#[tokio::test]
async fn two_subscribers_do_not_affect_each_other() {
    let app = App::start().await;
    let (operator, topology) = operator_with_topology(&app).await;
    let mut first = operator.watch(topology, "").await;
    let mut second = operator.watch(topology, "").await;
    for reader in [&mut first, &mut second] {
        reader.expect("snapshot").await;
    }
    operator.mutate(topology, 1).await.ok();
    for reader in [&mut first, &mut second] {
        expect_numbers(reader, [1]).await;
    }
    drop(first);
    until("slot freed", async || app.gateway.limits.open_slots() == 1).await;
    operator.mutate(topology, 2).await.ok();
    expect_numbers(&mut second, [2]).await;
    drop(second);
    app.finish().await;
}

#[tokio::test]
async fn client_that_disconnects_frees_its_slot() {
    let app = App::start().await;
    let (operator, topology) = operator_with_topology(&app).await;
    let open = "streamgate_streams_open{family=\"topology\"}";
    for _ in 0..12 {
        let mut reader = operator.watch(topology, "").await;
        reader.expect("snapshot").await;
        assert!((app.metric(open) - 1.0).abs() < f64::EPSILON);
        drop(reader);
        // No event is sent, so the server must notice the FIN alone.
        app.slots_freed().await;
    }
    until("stream counted as closed", async || app.metric(open) == 0.0).await;
    app.finish().await;
}

#[tokio::test]
async fn stream_has_no_gap_and_no_duplicate_after_its_snapshot() {
    let app = App::with(|config| config.limits.streams_per_user = 1_000).await;
    let (operator, topology) = operator_with_topology(&app).await;
    let publisher = {
        let operator = operator.clone();
        tokio::spawn(async move {
            for number in 0..60 {
                operator.mutate(topology, number).await.ok();
            }
        })
    };
    let mut readers = Vec::new();
    while !publisher.is_finished() {
        let mut reader = operator.watch(topology, "").await;
        let snapshot = reader.expect("snapshot").await;
        let in_flight = snapshot.data["mutations"].as_array().expect("mutations").len() as u64;
        readers.push((reader, in_flight));
    }
    publisher.await.expect("60 mutations");
    assert!(readers.len() > 1, "{}", readers.len());
    for (mut reader, in_flight) in readers {
        expect_numbers(&mut reader, in_flight..60).await;
    }
    app.finish().await;
}

#[tokio::test]
async fn stream_ends_at_its_requested_bounds() {
    let app = App::start().await;
    let (operator, topology) = operator_with_topology(&app).await;
    for number in 0..3 {
        operator.mutate(topology, number).await.ok();
    }
    let mut reader = operator.watch(topology, "max_events=1").await;
    reader.expect("snapshot").await;
    reader.expect_end().await;
    // The stream ends although more events are ready, and no other event announces the end.
    let events = operator.get(&format!("/v1/topologies/{topology}/events?limit=2")).await.ok();
    let after = events["next"].as_str().expect("a cursor");
    let mut reader = operator.watch(topology, &format!("max_events=2&last_event_id={after}")).await;
    expect_numbers(&mut reader, 0..2).await;
    reader.expect_end().await;
    let mut reader = operator.watch(topology, "max_seconds=1").await;
    reader.expect("snapshot").await;
    assert_eq!(reader.expect("stream.closed").await.data, json!({ "reason": "max_seconds" }));
    reader.expect_end().await;
    for bad in
        ["max_events=0", "max_seconds=0", "max_events=x", "on_refusal=maybe", "overflow=drop"]
    {
        let path = format!("/v1/topologies/{topology}/stream?{bad}");
        operator.get(&path).await.problem(400);
    }
    app.finish().await;
}

#[tokio::test]
async fn shutdown_closes_streams_with_a_retry_time() {
    let mut app = App::start().await;
    let (operator, topology) = operator_with_topology(&app).await;
    let mut reader = operator.watch(topology, "").await;
    reader.expect("snapshot").await;
    app.begin_stop();
    let closed = reader.expect("stream.closed").await;
    assert_eq!(closed.data, json!({ "reason": "shutdown" }));
    assert_eq!(closed.id, None, "the client keeps its cursor");
    assert!(closed.retry.is_some_and(|retry| retry >= 3_000), "{closed:?}");
    reader.expect_end().await;
    app.ended().await;
    app.finish().await;
}
