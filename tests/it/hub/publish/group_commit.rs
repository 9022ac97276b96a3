//! Group commit: many publishers share a transaction, but one failure does not spread to the
//! others.

use std::sync::Arc;

use entity::user::Role;
use futures_util::future::join_all;
use sea_orm::ConnectionTrait;
use streamgate::{
    bus::InProcessBus,
    config::Config,
    event::{Cursor, Event, Family, NewEvent, Topic},
    hub::PublishError,
};

use crate::{
    hub::publish::queue::{ALL, commits, event, hold, queue, seqs, some_topic},
    support::{App, Store, soon},
};

#[tokio::test]
async fn events_that_the_database_refuses_affect_no_others() {
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
    let answers = soon("responses", join_all(published)).await;
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
async fn failing_database_is_not_retried_for_every_publisher() {
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
    for answer in soon("responses", join_all(published)).await {
        let error = answer.expect_err("there is no log");
        assert!(matches!(error, PublishError::Database(_)), "{error}");
    }
    let commits = commits(&app) - before;
    assert!(commits <= 2.0, "{commits} transactions");
    app.finish().await;
}

#[tokio::test]
async fn queued_events_are_not_written_in_one_huge_transaction() {
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
    for answer in soon("responses", join_all(published)).await {
        answer.expect("an acknowledgement");
    }
    let commits = commits(&app) - before;
    assert!(commits >= 5.0, "20 MiB in {commits} transactions");
    assert_eq!(seqs(&app, &topic).await, (1..=20).collect::<Vec<i64>>());
    app.finish().await;
}

#[tokio::test]
async fn events_of_a_cancelled_publisher_are_written_in_order() {
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
async fn acknowledged_events_are_in_the_log_after_a_shutdown() {
    let store = Store::new().await;
    let bus = Arc::new(InProcessBus::default());
    // Keeps more events than these publishers can write.
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
                    // The test waits for the first acknowledgement only.
                    let _ = begun.try_send(());
                }
            })
        })
        .collect();
    for _ in 0..64 {
        soon("acknowledgement", all_begun.recv()).await.expect("publishers");
    }
    // The server ends while the publishers continue.
    app.finish().await;
    let mut acknowledged = Vec::new();
    for publisher in publishers {
        acknowledged.extend(soon("end of a publisher", publisher).await.expect("no panic"));
    }
    acknowledged.sort_by_key(|event| event.cursor.seq);
    let app = App::on(store, bus, keep).await;
    let (_, page) = app.gateway.hub.log().oldest(&topic, ALL).await.expect("a log");
    // No publisher was cancelled, so every written event was acknowledged.
    assert!(page.events == acknowledged, "{} {}", page.events.len(), acknowledged.len());
    app.finish().await;
}
