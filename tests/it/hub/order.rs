//! The promise of the hub: every subscriber sees every event exactly once, in order, from its
//! cursor on, whatever the others, the network and the bus do.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use entity::user::Role;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use sea_orm::ConnectionTrait;
use serde_json::json;
use streamgate::{
    bus::{Bus, BusError, InProcessBus, Message},
    event::{Cursor, Family, NewEvent, Topic},
};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    cluster::events::pair,
    support::app::{App, Caller, PATIENCE, until},
};

/// Loses every message whose number, counted from the first, has its bit set.
struct LossyBus {
    inner: InProcessBus,
    lost: AtomicU64,
    count: AtomicU64,
}

#[async_trait]
impl Bus for LossyBus {
    async fn join(&self, node: Uuid) -> Result<mpsc::Receiver<Message>, BusError> {
        self.inner.join(node).await
    }

    fn publish(&self, node: Uuid, message: Message) {
        let number = self.count.fetch_add(1, Ordering::Relaxed) % 64;
        if self.lost.load(Ordering::Relaxed) & (1 << number) == 0 {
            self.inner.publish(node, message);
        }
    }

    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }
}

fn note(number: i64) -> NewEvent {
    NewEvent::new("note", &json!({ "number": number })).expect("a kind")
}

/// What happens in one round.
#[derive(Clone, Debug)]
struct Round {
    /// Of each publisher: how many events it writes at a time.
    publishers: Vec<Vec<i64>>,
    /// Of each subscriber: after how many events it hangs up, and comes back.
    subscribers: Vec<Vec<usize>>,
    /// Messages that the bus loses, a bit each.
    lost: u64,
}

fn rounds() -> impl Strategy<Value = Round> {
    let publishers = prop::collection::vec(prop::collection::vec(1..6_i64, 1..16), 1..4);
    let subscribers = prop::collection::vec(prop::collection::vec(0..12_usize, 0..5), 1..6);
    (publishers, subscribers, any::<u64>()).prop_map(|(publishers, subscribers, lost)| Round {
        publishers,
        subscribers,
        lost,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_subscriber_sees_each_event_once_and_in_order_whatever_the_bus_loses() {
    let bus = Arc::new(LossyBus {
        inner: InProcessBus::default(),
        lost: AtomicU64::new(0),
        count: AtomicU64::new(0),
    });
    let (one, two) = pair(Arc::clone(&bus) as Arc<dyn Bus>, 1).await;
    let operator = one.caller(Role::Operator).await;
    let mut runner = TestRunner::default();
    for _ in 0..24 {
        let round = rounds().new_tree(&mut runner).expect("a round").current();
        bus.lost.store(round.lost, Ordering::Relaxed);
        let topology = one.active_topology(&operator).await;
        let failed = play(&round, [&one, &two], &operator, topology).await;
        assert_eq!(failed, None, "{round:?}");
    }
    two.finish().await;
    one.finish().await;
}

/// Plays a round, and says what went wrong.
async fn play(round: &Round, apps: [&App; 2], operator: &Caller, topology: Uuid) -> Option<String> {
    // The topology's own two changes of status come first.
    let total = 2 + round.publishers.iter().flatten().sum::<i64>();
    let topic = Topic::new(Family::Topology, topology);
    let publishers = round.publishers.iter().enumerate().map(|(index, batches)| {
        let (hub, topic) = (Arc::clone(&apps[index % 2].gateway.hub), topic.clone());
        let batches = batches.clone();
        tokio::spawn(async move {
            for size in batches {
                let events = (0..size).map(note).collect();
                hub.publish(topic.clone(), events).await.expect("an acknowledgement");
            }
        })
    });
    let publishers: Vec<_> = publishers.collect();
    let subscribers = round.subscribers.iter().enumerate().map(|(index, visits)| {
        let here = apps[(index + 1) % 2].here(operator);
        let visits = visits.clone();
        tokio::spawn(async move { follow(&here, topology, &visits, total).await })
    });
    let subscribers: Vec<_> = subscribers.collect();
    for publisher in publishers {
        publisher.await.expect("no panic");
    }
    for subscriber in subscribers {
        let seen = tokio::time::timeout(PATIENCE, subscriber).await;
        let Ok(seen) = seen else { return Some("a subscriber did not get everything".to_owned()) };
        let (first, seqs) = seen.expect("no panic");
        let expected: Vec<i64> = (first + 1..=total).collect();
        if seqs != expected {
            return Some(format!("saw {seqs:?} after {first}"));
        }
    }
    None
}

/// Reads up to event `last`, hanging up after each number of `visits`. Returns where its snapshot
/// stood and what it saw after that.
async fn follow(caller: &Caller, topology: Uuid, visits: &[usize], last: i64) -> (i64, Vec<i64>) {
    let mut reader = caller.watch(topology, "").await;
    let snapshot = reader.expect("snapshot").await;
    let mut cursor: Cursor = snapshot.id.expect("an id").parse().expect("a cursor");
    let first = cursor.seq;
    let mut seen = Vec::new();
    let mut visits = visits.iter().copied();
    let mut left = visits.next();
    while cursor.seq < last {
        if left == Some(0) {
            reader = caller.watch(topology, &format!("last_event_id={cursor}")).await;
            left = visits.next();
            continue;
        }
        let block = reader.next().await.expect("an event");
        assert_ne!(block.event, "snapshot", "a cursor was good and is not any more");
        cursor = block.id.expect("an id").parse().expect("a cursor");
        seen.push(cursor.seq);
        left = left.map(|left| left - 1);
    }
    (first, seen)
}

/// Publishes until a subscriber that does not read cannot have got everything, from its own socket
/// buffers and the ring.
async fn flood(app: &App, topology: Uuid, events: u64) {
    let topic = Topic::new(Family::Topology, topology);
    let pad = "x".repeat(60_000);
    for number in 0..events {
        let event =
            NewEvent::new("note", &json!({ "number": number, "pad": pad })).expect("a kind");
        app.gateway.hub.publish(topic.clone(), vec![event]).await.expect("an acknowledgement");
    }
}

#[tokio::test]
async fn a_slow_subscriber_loses_nothing_and_holds_nobody_up() {
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
    // 24 MB, more than loopback's buffers take.
    flood(&app, topology, 400).await;
    reading.await.expect("the quick one sees all while the slow one does not read");
    for number in 0..400 {
        assert_eq!(slow.expect("note").await.data["number"], number);
    }
    assert!(app.metric("streamgate_catch_ups_total{family=\"topology\"}") > 0.0);
    drop(slow);
    app.finish().await;
}

#[tokio::test]
async fn a_stream_whose_log_breaks_says_so_and_ends() {
    let app = App::with(|config| config.streams.buffer_events = 8).await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let mut reader = operator.watch(topology, "").await;
    reader.expect("snapshot").await;
    flood(&app, topology, 400).await;
    let rename = "ALTER TABLE event RENAME TO event_gone";
    app.gateway.database.writer().execute_unprepared(rename).await.expect("a rename");
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
    until("slot freed", async || app.gateway.limits.open_slots() == 0).await;
    app.finish().await;
}
