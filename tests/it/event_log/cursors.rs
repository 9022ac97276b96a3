//! Cursors that can be resumed after the log has changed, and cursors that cannot.

use entity::user::Role;
use serde_json::json;
use streamgate::{
    event::Cursor,
    event_log::{AppendRefused, NewEvents},
};
use uuid::Uuid;

use crate::{
    event_log::rewind::{expect_notes, rewind, write_elsewhere},
    support::{
        App,
        events::{cursor_of, note, prune, publish, topic_of},
        id_of,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stream_that_catches_up_never_mixes_two_histories() {
    const NOTES: u64 = 240;
    // No heartbeat comes within this test.
    let app = App::with(|config| config.streams.buffer_events = 8).await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let mut slow = operator.watch(topology, "").await;
    slow.expect("snapshot").await;
    // More bytes than the buffers of the loopback interface hold.
    publish(&app, topology, 0..NOTES, 100_000).await;
    rewind(&app, topology, 4).await;
    for _ in 0..3 {
        write_elsewhere(&app, topology, 1_000..1_000 + NOTES / 2).await;
    }
    let mut seen = 0;
    let snapshot = loop {
        let block = slow.next().await.expect("an event");
        if block.event == "snapshot" {
            break block;
        }
        assert_eq!(block.data["number"], seen, "an event of another log than the first");
        seen += 1;
    };
    assert!(seen < NOTES, "the stream did not have to catch up");
    assert_eq!(snapshot.data["reset"], "replaced");
    publish(&app, topology, 0..1, 10).await;
    assert_eq!(slow.expect("note").await.data["number"], 0);
    drop(slow);
    app.finish().await;
}

#[tokio::test]
async fn cursors_of_an_unbroken_log_are_resumed() {
    let app = App::with(|config| config.streams.buffer_events = 4).await;
    let operator = app.caller(Role::Operator).await;
    let topology = id_of(&operator.post("/v1/topologies", json!({ "name": "t" })).await.ok());
    let mut reader = operator.watch(topology, "").await;
    let mut cursors = vec![cursor_of(&reader.expect("snapshot").await)];
    assert_eq!((cursors[0].seq, cursors[0].nonce), (0, 0));
    publish(&app, topology, 1..13, 10).await;
    for number in 1..13 {
        cursors.push(expect_notes(&mut reader, [number]).await);
    }
    // First with a ring that holds the last four events, then without a ring.
    for holder in [Some(reader), None] {
        for (cursor, number) in cursors[..12].iter().zip(1..) {
            let mut reader = operator.watch(topology, &format!("last_event_id={cursor}")).await;
            expect_notes(&mut reader, number..13).await;
        }
        let path = format!("/v1/topologies/{topology}/events");
        for cursor in &cursors {
            let page = operator.get(&format!("{path}?after={cursor}")).await.ok();
            assert_eq!(page["next"], cursors[12].to_string());
        }
        let mut reader = operator.watch(topology, &format!("last_event_id={}", cursors[12])).await;
        publish(&app, topology, 13..14, 10).await;
        expect_notes(&mut reader, [13]).await;
        drop((reader, holder));
        app.slots_freed().await;
        rewind(&app, topology, 12).await;
    }
    assert_eq!(prune(&app, 2).await, 10);
    let mut reader = operator.watch(topology, &format!("last_event_id={}", cursors[10])).await;
    expect_notes(&mut reader, 11..13).await;
    drop(reader);
    let another = Cursor { nonce: cursors[10].nonce ^ 1, ..cursors[10] };
    for (cursor, reason) in [(cursors[9], "pruned"), (another, "replaced")] {
        let mut reader = operator.watch(topology, &format!("last_event_id={cursor}")).await;
        assert_eq!(reader.expect("snapshot").await.data["reset"], reason);
    }
    // The terminal event is written, and no event is kept.
    operator.set_status(topology, "torn_down").await.ok();
    let path = format!("/v1/topologies/{topology}/events");
    let last = operator.get(&path).await.ok()["next"].clone();
    assert_eq!(prune(&app, 0).await, 3);
    let last = last.as_str().expect("a cursor");
    let page = operator.get(&format!("{path}?after={last}")).await.ok();
    assert_eq!((page["events"].clone(), page["next"].as_str()), (json!([]), Some(last)));
    assert_eq!(operator.get(&path).await.ok()["next"], last);
    assert_eq!(operator.watch(topology, &format!("last_event_id={last}")).await.status(), 204);
    app.finish().await;
}

#[tokio::test]
async fn refused_events_leave_the_newest_event_unchanged() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let mut reader = operator.watch(topology, "").await;
    let mut newest = cursor_of(&reader.expect("snapshot").await);
    drop(reader);
    let log = app.gateway.hub.log();
    let fenced = || Some(Uuid::new_v4());
    let refused = Err(AppendRefused::Fenced);
    // Some additions are refused. The newest event is the last accepted one.
    for fences in [vec![fenced()], vec![None, fenced()], vec![fenced(), None], vec![]] {
        let tx = app.gateway.database.begin_write().await.expect("a transaction");
        if fences.is_empty() {
            log.create(&tx, &topic_of(topology)).await.expect("a lock");
        }
        let addition = |fence: &Option<Uuid>| NewEvents {
            topic: topic_of(topology),
            fence: *fence,
            events: vec![note(1, 1), note(2, 1)],
        };
        let additions: Vec<NewEvents> = fences.iter().map(addition).collect();
        let numbers = log.append_all(&tx, &additions).await.expect("a database");
        tx.commit().await.expect("a commit");
        for (fence, (number, addition)) in fences.iter().zip(numbers.into_iter().zip(additions)) {
            assert_eq!(number.map(drop), if fence.is_some() { refused } else { Ok(()) });
            let Ok(number) = number else { continue };
            for event in number.into_events(addition) {
                assert_eq!((event.prior_nonce, event.cursor.seq), (newest.nonce, newest.seq + 1));
                newest = event.cursor;
            }
        }
        let head = log.head(&topic_of(topology)).await.expect("a database");
        assert_eq!(head, Some((newest, false)), "{fences:?}");
        let position = log.positions(&[topic_of(topology)]).await.expect("a database");
        assert_eq!(position.into_values().collect::<Vec<_>>(), [newest]);
    }
    app.finish().await;
}
