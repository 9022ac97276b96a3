//! Resuming a stream from a cursor.

use streamgate::event::Cursor;

use crate::support::{
    App, Block, events::prune, mutation::expect_numbers, topology::operator_with_topology,
};

#[tokio::test]
async fn stream_resumes_after_its_cursor_and_the_header_wins() {
    let app = App::start().await;
    let (operator, topology) = operator_with_topology(&app).await;
    let mut reader = operator.watch(topology, "").await;
    let mut ids = vec![reader.expect("snapshot").await.id.expect("an id")];
    for number in 0..4 {
        operator.mutate(topology, number).await.ok();
        ids.push(reader.expect("mutation.enqueued").await.id.expect("an id"));
    }
    let path = format!("/v1/topologies/{topology}/stream");
    let header = |id: &str| format!("Last-Event-ID: {id}\r\n");
    let by_query = |id: &str| format!("{path}?last_event_id={id}");
    let ways = [
        (path.clone(), header(&ids[2]), 2),
        (by_query(&ids[1]), String::new(), 1),
        (by_query(&ids[0]), header(&ids[3]), 3),
        (by_query(&ids[4]), String::new(), 4),
    ];
    for (total, (path, header, seen)) in (4..).zip(ways) {
        let mut resumed = operator.stream(&path, &header).await;
        expect_numbers(&mut resumed, seen..total).await;
        // The next event is new: no event was repeated, and there was no snapshot.
        operator.mutate(topology, total).await.ok();
        expect_numbers(&mut resumed, [total]).await;
    }
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn unusable_cursor_gets_a_snapshot_with_a_reset_reason() {
    let app = App::with(|config| config.limits.streams_per_user = 50).await;
    let (operator, topology) = operator_with_topology(&app).await;
    let other = app.active_topology(&operator).await;
    let cursor = |block: Block| block.id.expect("an id").parse::<Cursor>().expect("a cursor");
    let mine = cursor(operator.watch(topology, "").await.expect("snapshot").await);
    let others = cursor(operator.watch(other, "").await.expect("snapshot").await);
    let ahead = Cursor { seq: mine.seq + 1, ..mine };
    let another = Cursor { nonce: mine.nonce ^ 1, ..mine };
    let number = format!("{:x}-{}", mine.epoch, mine.seq);
    for (bad, reason) in [
        (others.to_string(), "unknown_cursor"),
        ("garbage".to_owned(), "unknown_cursor"),
        ("0".to_owned(), "unknown_cursor"),
        (number, "unknown_cursor"),
        (ahead.to_string(), "replaced"),
        (another.to_string(), "replaced"),
    ] {
        let mut reader = operator.watch(topology, &format!("last_event_id={bad}")).await;
        let snapshot = reader.expect("snapshot").await;
        assert_eq!(snapshot.data["reset"], reason, "{bad}");
        assert_eq!(cursor(snapshot), mine);
    }
    for number in 0..5 {
        operator.mutate(topology, number).await.ok();
    }
    let events = format!("/v1/topologies/{topology}/events");
    let kept = operator.get(&format!("{events}?after={mine}&limit=3")).await.ok();
    let kept = kept["next"].as_str().expect("a cursor");
    app.slots_freed().await;
    assert_eq!(prune(&app, 2).await, 5, "two transitions and three mutations");
    let mut reader = operator.watch(topology, &format!("last_event_id={mine}")).await;
    let snapshot = reader.expect("snapshot").await;
    assert_eq!(snapshot.data["reset"], "pruned");
    assert_eq!(snapshot.data["mutations"].as_array().map(Vec::len), Some(5));
    // A cursor whose later events are all kept can be resumed.
    reader = operator.watch(topology, &format!("last_event_id={kept}")).await;
    expect_numbers(&mut reader, 3..5).await;
    drop(reader);
    let resets = "streamgate_resets_total{family=\"topology\",reason=\"pruned\"}";
    assert!((app.metric(resets) - 1.0).abs() < f64::EPSILON);
    app.finish().await;
}

#[tokio::test]
async fn empty_cursor_is_treated_as_none() {
    let app = App::start().await;
    let (operator, topology) = operator_with_topology(&app).await;
    let path = format!("/v1/topologies/{topology}/stream");
    for (query, header) in [("?last_event_id=", ""), ("", "Last-Event-ID: \r\n")] {
        let mut reader = operator.stream(&format!("{path}{query}"), header).await;
        let snapshot = reader.expect("snapshot").await;
        assert!(snapshot.data["reset"].is_null(), "{}", snapshot.text);
    }
    app.finish().await;
}
