//! Publishers that wait for the group commit.

use std::{pin::Pin, sync::Arc};

use futures_util::poll;
use serde_json::json;
use streamgate::{
    database::Transaction,
    event::{Event, Family, NewEvent, Topic},
    event_log::{AppendRefused, ReadLimit},
    hub::PublishError,
};
use uuid::Uuid;

use crate::support::App;

/// A limit above the number of events that these tests write.
pub const ALL: ReadLimit = ReadLimit { events: 1_000_000, bytes: usize::MAX };

/// The result of one publish.
type Published = Pin<Box<dyn Future<Output = Result<Vec<Event>, PublishError>> + Send>>;

pub fn event(kind: &str, number: usize) -> NewEvent {
    NewEvent::new(kind, &json!({ "number": number })).expect("a kind")
}

pub fn some_topic() -> Topic {
    Topic::new(Family::Topology, Uuid::new_v4())
}

/// Begins a transaction that blocks all others until it ends. SQLite has one writer, and PostgreSQL
/// locks the topic's row.
pub async fn hold(app: &App, topic: &Topic) -> Transaction {
    let log = app.gateway.hub.log();
    let tx = log.database().begin_write().await.expect("a transaction");
    log.create(&tx, topic).await.expect("a lock");
    tx
}

/// Starts to publish. Returns when the events wait for the writer.
pub async fn queue(app: &App, topic: &Topic, events: Vec<NewEvent>) -> Published {
    queue_under(app, None, topic, events).await
}

/// Like [`queue`], but under a lease, if there is one.
pub async fn queue_under(
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
    assert!(poll!(&mut published).is_pending(), "a write that did not wait for the lock");
    published
}

pub fn commits(app: &App) -> f64 {
    app.metric("streamgate_commit_seconds_count")
}

/// The numbers of all events in a topic's log.
pub async fn seqs(app: &App, topic: &Topic) -> Vec<i64> {
    let (_, page) = app.gateway.hub.log().oldest(topic, ALL).await.expect("a log");
    page.events.iter().map(|event| event.cursor.seq).collect()
}

/// The events, or the reason for which the log refused them.
pub fn outcome(answer: Result<Vec<Event>, PublishError>) -> Result<Vec<Event>, AppendRefused> {
    answer.map_err(|error| match error {
        PublishError::Refused(refused) => refused,
        error => panic!("{error}"),
    })
}

/// Fences a topic: from now on only this token may publish.
pub async fn fence(app: &App, topic: &Topic, token: Option<Uuid>) {
    let log = app.gateway.hub.log();
    let tx = log.database().begin_write().await.expect("a transaction");
    log.fence(&tx, topic, token).await.expect("a fence");
    tx.commit().await.expect("a commit");
}
