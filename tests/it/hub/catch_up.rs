//! Subscribers that fall behind the ring catch up from the event log.

use entity::user::Role;

use crate::support::{App, events::publish};

#[tokio::test]
async fn slow_subscriber_loses_nothing_and_delays_no_other() {
    let app = App::with(|config| config.streams.buffer_events = 8).await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let mut slow = operator.watch(topology, "").await;
    let mut quick = operator.watch(topology, "").await;
    slow.expect("snapshot").await;
    quick.expect("snapshot").await;
    let reading = tokio::spawn(async move {
        for number in 0..400 {
            assert_eq!(quick.expect("note").await.data["number"], number);
        }
    });
    // 24 MB, which is more than the buffers of the loopback interface hold.
    publish(&app, topology, 0..400, 60_000).await;
    reading.await.expect("every event for the quick subscriber");
    for number in 0..400 {
        assert_eq!(slow.expect("note").await.data["number"], number);
    }
    assert!(app.metric("streamgate_catch_ups_total{family=\"topology\"}") > 0.0);
    drop(slow);
    app.finish().await;
}

#[tokio::test]
async fn stream_whose_log_breaks_sends_an_error_and_ends() {
    let app = App::with(|config| config.streams.buffer_events = 8).await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let mut reader = operator.watch(topology, "").await;
    reader.expect("snapshot").await;
    publish(&app, topology, 0..400, 60_000).await;
    app.rename_table("event", "event_gone").await;
    let error = loop {
        let block = reader.next().await.expect("an error");
        if block.event != "note" {
            break block;
        }
    };
    assert_eq!(error.event, "error");
    assert_eq!(error.data["status"], 503);
    assert!(error.retry.is_some());
    assert!(!error.text.contains("event_gone"), "{}", error.text);
    reader.expect_end().await;
    app.slots_freed().await;
    app.finish().await;
}
