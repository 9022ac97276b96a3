//! Events that the log refuses: under an old lease, or after the terminal event.

use std::sync::Arc;

use entity::user::Role;
use futures_util::future::join_all;
use streamgate::{
    event::{Event, Family, Topic},
    event_log::AppendRefused,
};
use uuid::Uuid;

use crate::{
    hub::publish::queue::{
        ALL, commits, event, fence, hold, outcome, queue, queue_under, seqs, some_topic,
    },
    support::{App, soon, until},
};

#[tokio::test]
async fn refused_events_leave_no_gap_and_affect_no_others() {
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
    for (number, answer) in (1..).zip(soon("responses", join_all(published)).await) {
        match outcome(answer) {
            Ok(events) => {
                assert_ne!(number % 3, 0, "accepted in spite of the fence");
                acknowledged[number % 2].extend(events.iter().map(|_| number));
            }
            Err(refused) => assert_eq!((refused, number % 3), (AppendRefused::Fenced, 0)),
        }
    }
    for (topic, acknowledged) in topics.iter().zip(acknowledged) {
        let (cursor, page) = app.gateway.hub.log().oldest(topic, ALL).await.expect("a log");
        let number = |event: &Event| {
            let data: serde_json::Value = serde_json::from_str(&event.data).expect("JSON");
            usize::try_from(data["number"].as_u64().expect("a number")).expect("a few")
        };
        let numbers: Vec<usize> = page.events.iter().map(number).collect();
        assert_eq!(numbers, acknowledged, "the log differs from the acknowledged events");
        let last = i64::try_from(acknowledged.len()).expect("a few");
        assert_eq!(seqs(&app, topic).await, (1..=last).collect::<Vec<_>>());
        // Refused events use no number.
        assert_eq!((cursor.seq, page.has_more), (0, false));
        let next = app.gateway.hub.publish(topic.clone(), vec![event("note", 0)]).await;
        assert_eq!(next.expect("a commit")[0].cursor.seq, last + 1);
    }
    assert!(commits(&app) - before <= 4.0 + 1.0, "too many transactions for the refused events");
    app.finish().await;
}

#[tokio::test]
async fn nothing_follows_the_terminal_event_in_the_same_group() {
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
    let answers = soon("responses", join_all(published)).await;
    for (at, answer) in answers.into_iter().enumerate() {
        let is_late = at % 2 == 0 && at / 2 > 12;
        match outcome(answer) {
            Ok(_) => assert!(!is_late, "event {} was accepted", at / 2),
            Err(refused) => assert_eq!((refused, is_late), (AppendRefused::Closed, true)),
        }
    }
    // A later event in a publish, and one in a transaction, are refused as well.
    let late = app.gateway.hub.publish(topic.clone(), vec![event("note", 99)]).await;
    assert_eq!(outcome(late), Err(AppendRefused::Closed));
    let log = app.gateway.hub.log();
    let tx = log.database().begin_write().await.expect("a transaction");
    log.append(&tx, &topic, vec![event("note", 99)]).await.expect_err("a refusal");
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
async fn old_lease_writes_nothing_after_the_new_one_begins() {
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
        // Waits until the current lease has written an event.
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
        assert_eq!(refused, AppendRefused::Fenced);
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
