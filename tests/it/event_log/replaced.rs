//! What happens when the database is replaced by an older copy of itself, and which cursors survive.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use entity::{event, topic, user::Role};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, sea_query::Expr};
use serde_json::json;
use streamgate::{
    bus::InProcessBus,
    event::{Cursor, Family, Topic},
    event_log::{Addition, Refused, Retention},
};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    hub::slow_clients::note,
    streams::{
        topics as streams,
        topics::{about, publish},
    },
    support::{
        app::{App, Caller, Store, id_of, soon, until},
        sse::{Block, SseReader},
    },
};

fn topic_of(topology: Uuid) -> Topic {
    Topic::new(Family::Topology, topology)
}

/// The cursor of an event.
pub fn cursor_of(block: &Block) -> Cursor {
    block.id.as_deref().expect("an id").parse().expect("a cursor")
}

/// Takes the newest events of a topic away, as an older copy of the database would not have them.
async fn rewind(app: &App, topology: Uuid, seq: i64) {
    let log = app.gateway.hub.log();
    let tx = log.database().begin_write().await.expect("a transaction");
    let of_topic = topic::Column::Name.eq(topic_of(topology).as_str());
    let head = topic::Entity::find().filter(of_topic.clone()).one(&tx).await.expect("a topic");
    let id = head.expect("a topic").id;
    let newest = event::Entity::find_by_id((id, seq)).one(&tx).await.expect("an event");
    event::Entity::delete_many()
        .filter(event::Column::TopicId.eq(id))
        .filter(event::Column::Seq.gt(seq))
        .exec(&tx)
        .await
        .expect("a deletion");
    topic::Entity::update_many()
        .col_expr(topic::Column::LastSeq, Expr::value(seq))
        .col_expr(topic::Column::Nonce, Expr::value(newest.expect("an event").nonce))
        .filter(of_topic)
        .exec(&tx)
        .await
        .expect("an update");
    tx.commit().await.expect("a commit");
}

/// Writes events of which this gateway is not told, as another one does whose bus is down.
async fn write_elsewhere(app: &App, topology: Uuid, numbers: std::ops::Range<u64>) {
    let log = app.gateway.hub.log();
    for number in numbers {
        let tx = log.database().begin_write().await.expect("a transaction");
        let appended = log.append(&tx, &topic_of(topology), vec![note(number, 10)]).await;
        assert_eq!(appended.expect("an event").len(), 1);
        tx.commit().await.expect("a commit");
    }
}

/// A copy of the database.
struct Backup(PathBuf);

impl Backup {
    async fn take(app: &App, directory: &Path) -> Self {
        let file = directory.join("backup");
        if app.gateway.config.database.url.is_none() {
            let copy = format!("VACUUM INTO '{}'", file.display());
            app.gateway.database.writer().execute_unprepared(&copy).await.expect("a copy");
        }
        Self(file)
    }

    /// Starts on the copy. PostgreSQL's has to do without the newest events of this topic.
    async fn restore(self, app: App, store: &Store, topology: Uuid, seq: i64) -> App {
        if store.url().is_some() {
            rewind(&app, topology, seq).await;
        }
        app.finish().await;
        if store.url().is_none() {
            let file = store.directory.path().join("streamgate.db");
            std::fs::rename(self.0, file).expect("a copy in the place of the database");
        }
        App::on(store.clone(), Arc::new(InProcessBus::default()), |_| ()).await
    }
}

async fn expect_notes(reader: &mut SseReader, numbers: impl IntoIterator<Item = u64>) -> Cursor {
    let mut cursor = None;
    for number in numbers {
        let block = reader.expect("note").await;
        let data = block.data.get("data").unwrap_or(&block.data);
        assert_eq!(data["number"], number, "{}", block.text);
        cursor = block.id;
    }
    let cursor = cursor.expect("an id");
    cursor.split('.').next().expect("a cursor").parse().expect("a cursor")
}

#[tokio::test]
async fn a_client_of_a_history_that_was_replaced_starts_over() {
    let store = Store::new().await;
    let app = App::on(store.clone(), Arc::new(InProcessBus::default()), |_| ()).await;
    let (operator, topologies) = streams::stage(&app, 2).await;
    let [topology, other] = topologies[..] else { panic!("two topologies") };
    publish(&app, topology, 3..5, 10).await;
    publish(&app, other, 3..4, 10).await;
    let backup = Backup::take(&app, store.directory.path()).await;
    let mut many = streams::watch(&operator, &topologies, "").await;
    streams::snapshots(&mut many, &topologies).await;
    let path = format!("/v1/topologies/{topology}/events");
    let fourth = operator.get(&path).await.ok()["next"].clone();
    let mut reader = operator.watch(topology, "").await;
    assert_eq!(cursor_of(&reader.expect("snapshot").await).seq, 4);
    publish(&app, topology, 5..9, 10).await;
    let eighth = expect_notes(&mut reader, 5..9).await;
    assert_eq!(eighth.seq, 8);
    for _ in 5..8 {
        many.expect("note").await;
    }
    let both = many.expect("note").await.id.expect("a cursor");
    drop((reader, many));

    let app = backup.restore(app, &store, topology, 4).await;
    let operator = app.here(&operator);
    let stale = format!("last_event_id={eighth}");
    // Before the number 8 is given again, and after.
    for (head, numbers) in [(4, 0..0), (10, 105..111)] {
        publish(&app, topology, numbers, 10).await;
        let detail = operator.get(&format!("{path}?after={eighth}")).await.problem(410);
        assert!(detail.contains("replaced"), "{detail}");
        let mut reader = operator.watch(topology, &stale).await;
        let snapshot = reader.expect("snapshot").await;
        assert_eq!(snapshot.data["reset"], "replaced");
        assert_eq!(cursor_of(&snapshot).seq, head);
        // The other topic has the history that it had.
        publish(&app, other, 4..5, 10).await;
        let query = format!("last_event_id={both}");
        let mut many = streams::watch(&operator, &topologies, &query).await;
        for _ in 0..2 {
            let block = many.next().await.expect("an event");
            if about(&block) == topology {
                assert_eq!(block.data["data"]["reset"], "replaced", "{}", block.text);
            } else {
                assert_eq!(block.event, "note", "{}", block.text);
            }
        }
        drop((reader, many));
    }
    let after = fourth.as_str().expect("a cursor");
    let page = operator.get(&format!("{path}?after={after}")).await.ok();
    assert_eq!(page["events"].as_array().map(Vec::len), Some(6));
    let mut reader = operator.watch(topology, &format!("last_event_id={after}")).await;
    expect_notes(&mut reader, 105..111).await;
    drop(reader);
    let resets = "streamgate_resets_total{family=\"topology\",reason=\"replaced\"}";
    assert!((app.metric(resets) - 4.0).abs() < f64::EPSILON);
    app.finish().await;
    store.remove().await;
}

/// How the log of a topic with 8 events is replaced, and what it then has.
async fn replace(app: &App, topology: Uuid, way: u32) -> i64 {
    rewind(app, topology, 4).await;
    match way {
        0 => return 4,
        1 => write_elsewhere(app, topology, 105..107).await,
        2 => write_elsewhere(app, topology, 105..109).await,
        3 => write_elsewhere(app, topology, 105..111).await,
        4 => publish(app, topology, 105..106, 10).await,
        5 => publish(app, topology, 105..111, 10).await,
        _ => {
            // The next number that the gateway waits for, but behind other events.
            write_elsewhere(app, topology, 105..109).await;
            publish(app, topology, 109..110, 10).await;
        }
    }
    let position = app.gateway.hub.log().head(&topic_of(topology)).await.expect("a database");
    position.expect("a log").0.seq
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_streams_start_over_when_the_log_is_replaced_under_them() {
    let app = App::with(|config| {
        config.streams.heartbeat_seconds = 1;
        config.limits.streams_per_user = 200;
    });
    let app = Arc::new(app.await);
    let operator = app.caller(Role::Operator).await;
    let mut ways = JoinSet::new();
    for way in 0..=6 {
        let (app, operator) = (Arc::clone(&app), operator.clone());
        ways.spawn(async move {
            // Few are written to by the publisher, many by the reactors.
            for count in [1, 12] {
                start_over(&app, &operator, way, count).await;
            }
        });
    }
    while let Some(done) = soon("all ways", ways.join_next()).await {
        done.expect("no panic");
    }
    Arc::into_inner(app).expect("nobody else").finish().await;
}

async fn start_over(app: &App, operator: &Caller, way: u32, count: usize) {
    let topology = app.active_topology(operator).await;
    publish(app, topology, 3..5, 10).await;
    let mut readers = Vec::new();
    for _ in 0..count {
        let mut reader = operator.watch(topology, "").await;
        reader.expect("snapshot").await;
        readers.push(reader);
    }
    let mut many = streams::watch(operator, &[topology], "").await;
    streams::snapshots(&mut many, &[topology]).await;
    readers.push(many);
    publish(app, topology, 5..9, 10).await;
    for reader in &mut readers {
        assert_eq!(expect_notes(reader, 5..9).await.seq, 8);
    }
    let head = replace(app, topology, way).await;
    // The events of the new history that come behind the snapshot, or in it.
    let mut next = vec![0; readers.len()];
    for (reader, next) in readers.iter_mut().zip(&mut next) {
        let snapshot = reader.next().await.expect("an event");
        assert_eq!(snapshot.event, "snapshot", "way {way}: {}", snapshot.text);
        let data = snapshot.data.get("data").unwrap_or(&snapshot.data);
        assert_eq!(data["reset"], "replaced", "way {way}: {}", snapshot.text);
        *next = cursor_of(&snapshot).seq;
        assert!(*next <= head);
    }
    write_elsewhere(app, topology, 200..201).await;
    publish(app, topology, 201..202, 10).await;
    for (reader, mut next) in readers.iter_mut().zip(next) {
        while next < head + 2 {
            let block = reader.expect("note").await;
            assert_eq!(cursor_of(&block).seq, next + 1, "way {way}: {}", block.text);
            next += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_a_topic_that_was_never_backed_up_breaks() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 1).await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let mut reader = operator.watch(topology, "").await;
    reader.expect("snapshot").await;
    let tx = app.gateway.database.begin_write().await.expect("a transaction");
    app.gateway.hub.log().remove(&tx, &[topic_of(topology)]).await.expect("a deletion");
    tx.commit().await.expect("a commit");
    reader.expect("error").await;
    drop(reader);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_catches_up_never_mixes_two_histories() {
    const NOTES: u64 = 240;
    // No heartbeat tells it.
    let app = App::with(|config| config.streams.buffer_events = 8).await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let mut slow = operator.watch(topology, "").await;
    slow.expect("snapshot").await;
    // More than loopback's buffers take.
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
        assert_eq!(block.data["number"], seen, "not of the history that it began with");
        seen += 1;
    };
    assert!(seen < NOTES, "it did not have to catch up");
    assert_eq!(snapshot.data["reset"], "replaced");
    publish(&app, topology, 0..1, 10).await;
    assert_eq!(slow.expect("note").await.data["number"], 0);
    drop(slow);
    app.finish().await;
}

#[tokio::test]
async fn cursors_of_the_history_that_goes_on_are_resumed_from() {
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
    // From a ring that holds the last four, and from none.
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
        until("slots freed", async || app.gateway.limits.open_slots() == 0).await;
        rewind(&app, topology, 12).await;
    }
    let prune = async |events| {
        let retention = Retention { events, seconds: 3_600 };
        let now = app.gateway.clock.read();
        app.gateway.hub.log().prune(Family::Topology, retention, &now).await.expect("a pruning")
    };
    assert_eq!(prune(2).await, 10);
    let mut reader = operator.watch(topology, &format!("last_event_id={}", cursors[10])).await;
    expect_notes(&mut reader, 11..13).await;
    drop(reader);
    let another = Cursor { nonce: cursors[10].nonce ^ 1, ..cursors[10] };
    for (cursor, reason) in [(cursors[9], "pruned"), (another, "replaced")] {
        let mut reader = operator.watch(topology, &format!("last_event_id={cursor}")).await;
        assert_eq!(reader.expect("snapshot").await.data["reset"], reason);
    }
    // Its last event has been written, and nothing is kept.
    operator.set_status(topology, "torn_down").await.ok();
    let path = format!("/v1/topologies/{topology}/events");
    let last = operator.get(&path).await.ok()["next"].clone();
    assert_eq!(prune(0).await, 3);
    let last = last.as_str().expect("a cursor");
    let page = operator.get(&format!("{path}?after={last}")).await.ok();
    assert_eq!((page["events"].clone(), page["next"].as_str()), (json!([]), Some(last)));
    assert_eq!(operator.get(&path).await.ok()["next"], last);
    assert_eq!(operator.watch(topology, &format!("last_event_id={last}")).await.status(), 204);
    app.finish().await;
}

#[tokio::test]
async fn what_is_refused_leaves_the_newest_event_what_it_was() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let mut reader = operator.watch(topology, "").await;
    let mut newest = cursor_of(&reader.expect("snapshot").await);
    drop(reader);
    let log = app.gateway.hub.log();
    let fenced = || Some(Uuid::new_v4());
    let refused = Err(Refused::Fenced);
    // Each addition is refused or not, the newest event is the last that was not.
    for fences in [vec![fenced()], vec![None, fenced()], vec![fenced(), None], vec![]] {
        let tx = app.gateway.database.begin_write().await.expect("a transaction");
        if fences.is_empty() {
            log.create(&tx, &topic_of(topology)).await.expect("a lock");
        }
        let addition = |fence: &Option<Uuid>| Addition {
            topic: topic_of(topology),
            fence: *fence,
            events: vec![note(1, 1), note(2, 1)],
        };
        let additions: Vec<Addition> = fences.iter().map(addition).collect();
        let numbers = log.append_all(&tx, &additions).await.expect("a database");
        tx.commit().await.expect("a commit");
        for (fence, (number, addition)) in fences.iter().zip(numbers.into_iter().zip(additions)) {
            assert_eq!(number.map(drop), if fence.is_some() { refused } else { Ok(()) });
            let Ok(number) = number else { continue };
            for event in number.of(addition) {
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
