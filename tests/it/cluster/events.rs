//! Events of another gateway arrive through the database when no bus delivers them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use entity::user::Role;
use serde_json::json;
use streamgate::bus::InProcessBus;
use tokio::task::JoinSet;

use crate::support::{
    cluster::{pair, pair_without_bus},
    events::{cursor_of, publish},
    soon,
};

#[tokio::test]
async fn events_arrive_through_the_log_without_a_bus() {
    let (one, two, [operator, there], topology) = pair_without_bus(1).await;
    let mut reader = there.watch(topology, "").await;
    reader.expect("snapshot").await;
    assert_eq!(reader.next_line().await, ":\n", "a heartbeat");
    operator.mutate(topology, 1).await.ok();
    operator.mutate(topology, 2).await.ok();
    for number in 1..=2 {
        let event = reader.expect("mutation.enqueued").await;
        assert_eq!(event.data["payload"]["number"], number);
    }
    let ready = two.anyone().get("/health/ready").await;
    let dependencies = ready.body["dependencies"].clone();
    ready.problem(503);
    let down: Vec<_> = dependencies
        .as_array()
        .expect("dependencies")
        .iter()
        .filter(|dependency| dependency["status"] == "down")
        .map(|dependency| dependency["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(down, ["bus"]);
    drop(reader);
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn gateway_catches_up_with_a_newer_cursor_of_a_client() {
    // No heartbeat comes within this test.
    let (one, two, [operator, there], topology) = pair_without_bus(60).await;
    let mut early = there.watch(topology, "").await;
    early.expect("snapshot").await;
    for number in 0..3 {
        operator.mutate(topology, number).await.ok();
    }
    // The cursor is newer than every event that the second gateway knows.
    let page = operator.get(&format!("/v1/topologies/{topology}/events")).await.ok();
    let cursor = page["next"].as_str().expect("a cursor");
    let mut late = there.watch(topology, &format!("last_event_id={cursor}")).await;
    for number in 0..3 {
        let event = early.expect("mutation.enqueued").await;
        assert_eq!(event.data["payload"]["number"], number);
    }
    there.mutate(topology, 3).await.ok();
    for reader in [&mut early, &mut late] {
        assert_eq!(reader.expect("mutation.enqueued").await.data["payload"]["number"], 3);
    }
    let catch_ups = two.metric("streamgate_catch_ups_total{family=\"topology\"}");
    assert!(catch_ups < 5.0, "{catch_ups} reads of the log");
    drop((early, late));
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn outdated_gateway_resumes_a_cursor_before_the_terminal_event() {
    let (one, two, [operator, there], topology) = pair_without_bus(1).await;
    // Keeps the topic in the memory of the second gateway, which is therefore behind.
    let mut early = there.watch(topology, "").await;
    let seen = early.expect("snapshot").await.id.expect("an id");
    operator.tear_down(topology).await;
    let mut resumed = there.watch(topology, &format!("last_event_id={seen}")).await;
    for to in ["tearing_down", "torn_down"] {
        assert_eq!(resumed.expect("status").await.data["to"], to);
    }
    let last = resumed.expect("stream.closed").await;
    assert_eq!(last.data, json!({ "reason": "completed" }));
    resumed.expect_end().await;
    drop(early);
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn outdated_gateway_closes_a_stream_at_the_terminal_event() {
    let (one, two, [operator, there], topology) = pair_without_bus(60).await;
    // The second gateway has the topic in memory, without the terminal event.
    let mut early = there.watch(topology, "").await;
    early.expect("snapshot").await;
    operator.tear_down(topology).await;
    let page = operator.get(&format!("/v1/topologies/{topology}/events")).await.ok();
    let last = page["next"].as_str().expect("a cursor");
    let mut late = there.watch(topology, &format!("last_event_id={last}")).await;
    // The first stream makes the gateway read the terminal event.
    let closed = late.expect("stream.closed").await;
    assert_eq!(closed.data, json!({ "reason": "completed" }));
    late.expect_end().await;
    let again = there.watch(topology, &format!("last_event_id={last}")).await;
    assert_eq!(again.status(), 204);
    drop((early, late, again));
    two.finish().await;
    one.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rechecking_a_growing_log_resets_no_stream() {
    const EVENTS: u64 = 300;
    let (here, there) = pair(Arc::new(InProcessBus::default()), 60).await;
    let operator = here.caller(Role::Operator).await;
    let topology = here.active_topology(&operator).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut compared = JoinSet::new();
    let mut followed = JoinSet::new();
    for app in [&here, &there] {
        let (hub, is_over) = (Arc::clone(&app.gateway.hub), Arc::clone(&is_over));
        compared.spawn(async move {
            let mut count = 0;
            while !is_over.load(Ordering::Acquire) {
                hub.recheck().await.expect("a database");
                count += 1;
                // Without a stream, the call does not wait.
                tokio::task::yield_now().await;
            }
            count
        });
        for stays in [true, false] {
            let caller = app.here(&operator);
            let mut reader = caller.watch(topology, "").await;
            let mut cursor = cursor_of(&reader.expect("snapshot").await);
            followed.spawn(async move {
                for seen in 1..=2 * EVENTS {
                    let next = cursor_of(&reader.expect("note").await);
                    assert_eq!(next.seq, cursor.seq + 1);
                    cursor = next;
                    if !stays && seen % 25 == 0 {
                        reader = caller.watch(topology, &format!("last_event_id={cursor}")).await;
                    }
                }
            });
        }
    }
    let publishing = [&here, &there].map(|app| publish(app, topology, 0..EVENTS, 10));
    soon("all events", futures_util::future::join_all(publishing)).await;
    while let Some(done) = soon("all readers", followed.join_next()).await {
        done.expect("every event, and no snapshot");
    }
    is_over.store(true, Ordering::Release);
    while let Some(count) = compared.join_next().await {
        assert!(count.expect("no panic") > 10, "too few comparisons");
    }
    there.finish().await;
    here.finish().await;
}
