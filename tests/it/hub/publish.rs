//! Group commit: many publishers share a transaction, but neither a fault nor a fate.

use std::{pin::Pin, sync::Arc};

use entity::user::Role;
use futures_util::{future::join_all, poll};
use sea_orm::ConnectionTrait;
use serde_json::json;
use streamgate::{
    bus::InProcessBus,
    config::Config,
    database::Transaction,
    event::{Cursor, Event, Family, NewEvent, Topic},
    event_log::{Most, Refused},
    hub::PublishError,
};
use uuid::Uuid;

use crate::support::app::{App, Store, soon, until};

/// All that these tests write.
const ALL: Most = Most { events: 1_000_000, bytes: usize::MAX };

/// What becomes of one publisher's events.
type Published = Pin<Box<dyn Future<Output = Result<Vec<Event>, PublishError>> + Send>>;

fn event(kind: &str, number: usize) -> NewEvent {
    NewEvent::new(kind, &json!({ "number": number })).expect("a kind")
}

fn some_topic() -> Topic {
    Topic::new(Family::Topology, Uuid::new_v4())
}

/// Lets no transaction write until it has ended: SQLite has one writer, PostgreSQL locks the row.
async fn hold(app: &App, topic: &Topic) -> Transaction {
    let log = app.gateway.hub.log();
    let tx = log.database().begin_write().await.expect("a transaction");
    log.create(&tx, topic).await.expect("a lock");
    tx
}

/// Publishes, up to where the events wait for the writer.
async fn queue(app: &App, topic: &Topic, events: Vec<NewEvent>) -> Published {
    queue_under(app, None, topic, events).await
}

/// The same under a lease, if there is one.
async fn queue_under(
    app: &App,
    lease: Option<Uuid>,
    topic: &Topic,
    events: Vec<NewEvent>,
) -> Published {
    let (hub, topic) = (Arc::clone(&app.gateway.hub), topic.clone());
    let mut published: Published = Box::pin(async move {
        match lease {
            None => hub.publish(topic, events).await,
            Some(lease) => hub.publish_under(lease, topic, events).await,
        }
    });
    assert!(poll!(&mut published).is_pending(), "nothing can be written now");
    published
}

fn commits(app: &App) -> f64 {
    app.metric("streamgate_commit_seconds_count")
}

/// The numbers of all events in a topic's log.
async fn seqs(app: &App, topic: &Topic) -> Vec<i64> {
    let (_, page) = app.gateway.hub.log().oldest(topic, ALL).await.expect("a log");
    page.events.iter().map(|event| event.cursor.seq).collect()
}

#[tokio::test]
async fn events_that_the_database_refuses_fail_alone() {
    let app = App::start().await;
    let mut topics = [some_topic(), some_topic(), some_topic()];
    let picky = "CREATE UNIQUE INDEX picky ON event (kind) WHERE kind = 'once'";
    app.gateway.database.writer().execute_unprepared(picky).await.expect("an index");
    let before = commits(&app);
    let tx = hold(&app, &topics[0]).await;
    let mut published = Vec::new();
    for number in 0..64 {
        let kind = if number == 7 || number == 40 { "once" } else { "note" };
        let events = vec![event("note", number), event(kind, number)];
        published.push(queue(&app, &topics[number % 3], events).await);
    }
    tx.rollback().await.expect("a rollback");
    let answers = soon("answers", join_all(published)).await;
    let mut acknowledged = Vec::new();
    for (number, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(events) => acknowledged.extend(events),
            Err(error) => {
                assert_eq!(number, 40, "{error}");
                assert!(matches!(error, PublishError::Database(_)), "{error}");
            }
        }
    }
    assert_eq!(acknowledged.len(), 2 * 63);
    let log = app.gateway.hub.log();
    for topic in &mut topics {
        let (_, page) = log.oldest(topic, ALL).await.expect("a log");
        let mine: Vec<Event> =
            acknowledged.iter().filter(|event| event.topic == *topic).cloned().collect();
        assert_eq!(page.events, mine, "not in the order in which they were published");
        assert!((1..).zip(&mine).all(|(seq, event)| event.cursor.seq == seq), "{mine:?}");
    }
    let commits = commits(&app) - before;
    assert!(commits < 20.0, "{commits} transactions for one fault in 64");
    app.finish().await;
}

#[tokio::test]
async fn a_database_that_cannot_write_is_not_asked_again_for_every_publisher() {
    let app = App::start().await;
    let topic = some_topic();
    let before = commits(&app);
    let tx = hold(&app, &topic).await;
    let mut published = Vec::new();
    for number in 0..64 {
        published.push(queue(&app, &topic, vec![event("note", number)]).await);
    }
    let rename = "ALTER TABLE event RENAME TO event_gone";
    tx.execute_unprepared(rename).await.expect("a rename");
    tx.commit().await.expect("a commit");
    for answer in soon("answers", join_all(published)).await {
        let error = answer.expect_err("there is no log");
        assert!(matches!(error, PublishError::Database(_)), "{error}");
    }
    let commits = commits(&app) - before;
    assert!(commits <= 2.0, "{commits} transactions");
    app.finish().await;
}

#[tokio::test]
async fn what_waits_is_not_written_in_one_huge_transaction() {
    let app = App::start().await;
    let topic = some_topic();
    let before = commits(&app);
    let tx = hold(&app, &topic).await;
    let mut published = Vec::new();
    for _ in 0..20 {
        let event = NewEvent::new("note", &"x".repeat(1 << 20)).expect("a kind");
        published.push(queue(&app, &topic, vec![event]).await);
    }
    tx.rollback().await.expect("a rollback");
    for answer in soon("answers", join_all(published)).await {
        answer.expect("an acknowledgement");
    }
    let commits = commits(&app) - before;
    assert!(commits >= 5.0, "20 MiB in {commits} transactions");
    assert_eq!(seqs(&app, &topic).await, (1..=20).collect::<Vec<i64>>());
    app.finish().await;
}

#[tokio::test]
async fn events_of_a_publisher_who_went_away_are_written_and_delivered_in_their_place() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let topic = Topic::new(Family::Topology, topology);
    let mut reader = operator.watch(topology, "").await;
    let snapshot: Cursor =
        reader.expect("snapshot").await.id.expect("an id").parse().expect("a cursor");
    let tx = hold(&app, &topic).await;
    let mut staying = Vec::new();
    for number in 0..30 {
        let published = queue(&app, &topic, vec![event("note", number)]).await;
        if number % 3 == 0 {
            staying.push((number, published));
        }
    }
    tx.rollback().await.expect("a rollback");
    for (number, published) in staying {
        let events = soon("acknowledgement", published).await.expect("an acknowledgement");
        assert_eq!(events[0].cursor.seq, snapshot.seq + 1 + i64::try_from(number).expect("few"));
    }
    for number in 0..30 {
        assert_eq!(reader.expect("note").await.data["number"], number);
    }
    assert_eq!(seqs(&app, &topic).await, (1..=snapshot.seq + 30).collect::<Vec<i64>>());
    drop(reader);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_the_end_is_there_after_it() {
    let store = Store::new().await;
    let bus = Arc::new(InProcessBus::default());
    // More than are kept may be published before the end.
    let keep = |config: &mut Config| config.retention.topology_events = 1_000_000;
    let app = App::on(store.clone(), Arc::<InProcessBus>::clone(&bus), keep).await;
    let topic = some_topic();
    let (begun, mut all_begun) = tokio::sync::mpsc::channel(64);
    let publishers: Vec<_> = (0..64)
        .map(|number| {
            let (hub, topic, begun) = (Arc::clone(&app.gateway.hub), topic.clone(), begun.clone());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                loop {
                    match hub.publish(topic.clone(), vec![event("note", number)]).await {
                        Ok(events) => acknowledged.extend(events),
                        Err(PublishError::Closed) => return acknowledged,
                        Err(error) => panic!("{error}"),
                    }
                    // Only the first is waited for.
                    let _ = begun.try_send(());
                }
            })
        })
        .collect();
    for _ in 0..64 {
        soon("acknowledgement", all_begun.recv()).await.expect("publishers");
    }
    // While they go on.
    app.finish().await;
    let mut acknowledged = Vec::new();
    for publisher in publishers {
        acknowledged.extend(soon("end of a publisher", publisher).await.expect("no panic"));
    }
    acknowledged.sort_by_key(|event| event.cursor.seq);
    let app = App::on(store, bus, keep).await;
    let (_, page) = app.gateway.hub.log().oldest(&topic, ALL).await.expect("a log");
    // Who was answered is all who was written for: nobody went away.
    assert!(page.events == acknowledged, "{} {}", page.events.len(), acknowledged.len());
    app.finish().await;
}

/// What was refused, and what was not.
fn outcome(answer: Result<Vec<Event>, PublishError>) -> Result<Vec<Event>, Refused> {
    answer.map_err(|error| match error {
        PublishError::Refused(refused) => refused,
        error => panic!("{error}"),
    })
}

/// Gives a topic to who shows this token.
async fn fence(app: &App, topic: &Topic, token: Option<Uuid>) {
    let log = app.gateway.hub.log();
    let tx = log.database().begin_write().await.expect("a transaction");
    log.fence(&tx, topic, token).await.expect("a fence");
    tx.commit().await.expect("a commit");
}

#[tokio::test]
async fn what_is_refused_in_a_group_leaves_no_gap_and_takes_nobody_with_it() {
    let app = App::start().await;
    let topics = [some_topic(), some_topic()];
    let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
    for topic in &topics {
        app.gateway.hub.publish(topic.clone(), vec![event("note", 0)]).await.expect("a log");
        fence(&app, topic, Some(new)).await;
    }
    let before = commits(&app);
    let tx = hold(&app, &topics[0]).await;
    let mut published = Vec::new();
    for number in 1..=90 {
        let lease = [Some(old), Some(new), None][number % 3];
        let events = (0..=number % 4).map(|_| event("note", number)).collect();
        published.push(queue_under(&app, lease, &topics[number % 2], events).await);
    }
    tx.rollback().await.expect("a rollback");
    let mut acknowledged = [vec![0], vec![0]];
    for (number, answer) in (1..).zip(soon("answers", join_all(published)).await) {
        match outcome(answer) {
            Ok(events) => {
                assert_ne!(number % 3, 0, "in spite of the fence");
                acknowledged[number % 2].extend(events.iter().map(|_| number));
            }
            Err(refused) => assert_eq!((refused, number % 3), (Refused::Fenced, 0)),
        }
    }
    for (topic, acknowledged) in topics.iter().zip(acknowledged) {
        let (cursor, page) = app.gateway.hub.log().oldest(topic, ALL).await.expect("a log");
        let number = |event: &Event| {
            let data: serde_json::Value = serde_json::from_str(&event.data).expect("JSON");
            usize::try_from(data["number"].as_u64().expect("a number")).expect("a few")
        };
        let numbers: Vec<usize> = page.events.iter().map(number).collect();
        assert_eq!(numbers, acknowledged, "not what was acknowledged, or not in its order");
        let last = i64::try_from(acknowledged.len()).expect("a few");
        assert_eq!(seqs(&app, topic).await, (1..=last).collect::<Vec<_>>());
        // The head has not moved for what was refused: the next number is the next one.
        assert_eq!((cursor.seq, page.has_more), (0, false));
        let next = app.gateway.hub.publish(topic.clone(), vec![event("note", 0)]).await;
        assert_eq!(next.expect("a commit")[0].cursor.seq, last + 1);
    }
    assert!(commits(&app) - before <= 4.0 + 1.0, "refused one by one");
    app.finish().await;
}

#[tokio::test]
async fn nothing_gets_behind_the_last_event_even_in_the_same_group() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let (topic, other) = (Topic::new(Family::Topology, topology), some_topic());
    let mut reader = operator.watch(topology, "").await;
    reader.expect("snapshot").await;
    let before = seqs(&app, &topic).await.len();
    let tx = hold(&app, &topic).await;
    let mut published = Vec::new();
    for number in 0..30 {
        let events = match number {
            12 => vec![event("note", 12), event("end", 12).terminal()],
            20 => vec![event("end", 20).terminal()],
            _ => vec![event("note", number)],
        };
        published.push(queue(&app, &topic, events).await);
        published.push(queue(&app, &other, vec![event("note", number)]).await);
    }
    tx.rollback().await.expect("a rollback");
    let answers = soon("answers", join_all(published)).await;
    for (at, answer) in answers.into_iter().enumerate() {
        let is_late = at % 2 == 0 && at / 2 > 12;
        match outcome(answer) {
            Ok(_) => assert!(!is_late, "{} got in", at / 2),
            Err(refused) => assert_eq!((refused, is_late), (Refused::Closed, true)),
        }
    }
    // One later, on its own, and one in a transaction of somebody's.
    let late = app.gateway.hub.publish(topic.clone(), vec![event("note", 99)]).await;
    assert_eq!(outcome(late), Err(Refused::Closed));
    let log = app.gateway.hub.log();
    let tx = log.database().begin_write().await.expect("a transaction");
    log.append(&tx, &topic, vec![event("note", 99)]).await.expect_err("it has ended");
    tx.rollback().await.expect("a rollback");
    let last = i64::try_from(before + 14).expect("a few");
    assert_eq!(seqs(&app, &topic).await, (1..=last).collect::<Vec<_>>());
    assert_eq!(seqs(&app, &other).await, (1..=30).collect::<Vec<_>>());
    for number in 0..=12 {
        assert_eq!(reader.expect("note").await.data["number"], number);
    }
    reader.expect("end").await;
    reader.expect("stream.closed").await;
    reader.expect_end().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_old_lease_comes_after_the_first_of_the_new_one() {
    let app = App::start().await;
    let topic = some_topic();
    app.gateway.hub.publish(topic.clone(), vec![event("note", 0)]).await.expect("a log");
    let leases: Vec<Uuid> = (0..12).map(|_| Uuid::new_v4()).collect();
    fence(&app, &topic, Some(leases[0])).await;
    let mut publishers = Vec::new();
    let mut start = |at: usize, lease: Uuid| {
        for _ in 0..4 {
            let (hub, topic) = (Arc::clone(&app.gateway.hub), topic.clone());
            publishers.push(tokio::spawn(async move {
                let mut acknowledged = 0;
                loop {
                    let events = vec![event("note", at), event("note", at)];
                    match outcome(hub.publish_under(lease, topic.clone(), events).await) {
                        Ok(events) => acknowledged += events.len(),
                        Err(refused) => return (at, acknowledged, refused),
                    }
                }
            }));
        }
    };
    start(0, leases[0]);
    for (at, lease) in leases.iter().copied().enumerate().skip(1) {
        // When the present one has written something.
        let written = seqs(&app, &topic).await.len();
        until("event", async || seqs(&app, &topic).await.len() > written).await;
        fence(&app, &topic, Some(lease)).await;
        start(at, lease);
    }
    let written = seqs(&app, &topic).await.len();
    until("event", async || seqs(&app, &topic).await.len() > written).await;
    fence(&app, &topic, None).await;
    let mut acknowledged = vec![0; leases.len()];
    for publisher in publishers {
        let (at, count, refused) = soon("end", publisher).await.expect("no panic");
        assert_eq!(refused, Refused::Fenced);
        acknowledged[at] += count;
    }
    let (_, page) = app.gateway.hub.log().oldest(&topic, ALL).await.expect("a log");
    let by: Vec<usize> = page.events[1..]
        .iter()
        .map(|event| {
            let data: serde_json::Value = serde_json::from_str(&event.data).expect("JSON");
            usize::try_from(data["number"].as_u64().expect("a number")).expect("a few")
        })
        .collect();
    assert!(by.is_sorted(), "an old lease wrote after a new one");
    for (at, count) in acknowledged.into_iter().enumerate() {
        assert_eq!(by.iter().filter(|by| **by == at).count(), count);
    }
    app.finish().await;
}
