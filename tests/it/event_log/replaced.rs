//! An older copy replaces the database: clients start over.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use entity::user::Role;
use sea_orm::ConnectionTrait;
use streamgate::bus::InProcessBus;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    event_log::rewind::{expect_notes, rewind, write_elsewhere},
    support::{
        App, Caller, Store,
        events::{cursor_of, publish, topic_of},
        soon,
        streams::{self, about},
    },
};

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

    /// Starts a gateway on the copy. On PostgreSQL, the newest events of this topic are removed
    /// instead.
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

/// Replaces the log of a topic with 8 events in one of several ways. Returns the number of its
/// newest event.
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
            // The last event has the number that the gateway expects next, but other events come
            // before it.
            write_elsewhere(app, topology, 105..109).await;
            publish(app, topology, 109..110, 10).await;
        }
    }
    let position = app.gateway.hub.log().head(&topic_of(topology)).await.expect("a database");
    position.expect("a log").0.seq
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
    // The events of the new log come after the snapshot or are part of it.
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

#[tokio::test]
async fn client_of_a_replaced_log_starts_over() {
    let store = Store::new().await;
    let app = App::on(store.clone(), Arc::new(InProcessBus::default()), |_| ()).await;
    let (operator, topologies) = streams::operator_with_topologies(&app, 2).await;
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
    // The first round is before the number 8 is assigned again, and the second is after that.
    for (head, numbers) in [(4, 0..0), (10, 105..111)] {
        publish(&app, topology, numbers, 10).await;
        let detail = operator.get(&format!("{path}?after={eighth}")).await.problem(410);
        assert!(detail.contains("replaced"), "{detail}");
        let mut reader = operator.watch(topology, &stale).await;
        let snapshot = reader.expect("snapshot").await;
        assert_eq!(snapshot.data["reset"], "replaced");
        assert_eq!(cursor_of(&snapshot).seq, head);
        // The other topic still has its old log.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_streams_start_over_when_their_log_is_replaced() {
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
            // With few streams the publisher writes to them, with many streams the reactors do.
            for count in [1, 12] {
                start_over(&app, &operator, way, count).await;
            }
        });
    }
    while let Some(done) = soon("all ways", ways.join_next()).await {
        done.expect("no panic");
    }
    Arc::into_inner(app).expect("the only owner").finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stream_gets_an_error_if_the_backup_lacks_its_topic() {
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
