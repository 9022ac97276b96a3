//! Group commit: the events of many publishers in one transaction.
//!
//! While one transaction commits, the next publishers queue; the next transaction takes all of
//! them. So the cost of a commit (on SQLite a sync of the disk) is shared by as many as are waiting,
//! and nobody waits for a timer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
    time::Instant,
};

use sea_orm::DbErr;
use tokio::sync::{mpsc, oneshot};

use super::Hub;
use crate::{
    event::{Event, NewEvent, Topic},
    event_log::EventLog,
    telemetry::Telemetry,
};

/// Publishers that wait; more are held back before they queue.
const QUEUE: usize = 1_024;

/// Events in one transaction, so that the first of them does not wait for ever.
const BATCH: usize = 4_096;

/// Why events were not published.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// The database refused; shared by all whose events were in the transaction.
    #[error(transparent)]
    Database(Arc<DbErr>),
    /// The service is ending.
    #[error("the service is ending")]
    Closed,
}

struct Job {
    topic: Topic,
    events: Vec<NewEvent>,
    done: Done,
}

/// The way to the writer.
pub(super) struct Publisher {
    jobs: mpsc::Sender<Job>,
}

impl Publisher {
    pub(super) fn start(hub: Weak<Hub>, log: EventLog, telemetry: Arc<Telemetry>) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        // Not a tracked task: it ends when the hub, and with it the sender, is gone.
        tokio::spawn(write(hub, log, telemetry, queue));
        Self { jobs }
    }

    pub(super) async fn publish(
        &self,
        topic: Topic,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Event>, PublishError> {
        let (done, answer) = oneshot::channel();
        let job = Job { topic, events, done };
        self.jobs.send(job).await.map_err(|_| PublishError::Closed)?;
        answer.await.map_err(|_| PublishError::Closed)?
    }
}

type Done = oneshot::Sender<Result<Vec<Event>, PublishError>>;

async fn write(
    hub: Weak<Hub>,
    log: EventLog,
    telemetry: Arc<Telemetry>,
    mut queue: mpsc::Receiver<Job>,
) {
    while let Some(first) = queue.recv().await {
        let mut size = first.events.len();
        let mut jobs = vec![first];
        while size < BATCH
            && let Ok(job) = queue.try_recv()
        {
            size += job.events.len();
            jobs.push(job);
        }
        let mut topics: BTreeMap<String, (Topic, Vec<NewEvent>)> = BTreeMap::new();
        let mut waiting: Vec<(String, usize, Done)> = Vec::with_capacity(jobs.len());
        for Job { topic, events, done } in jobs {
            waiting.push((topic.to_string(), events.len(), done));
            topics.entry(topic.to_string()).or_insert_with(|| (topic, Vec::new())).1.extend(events);
        }
        let began = Instant::now();
        let written = commit(&log, topics).await;
        telemetry.committed(began.elapsed());
        match written {
            Ok(mut written) => {
                if let Some(hub) = hub.upgrade() {
                    hub.committed(written.values().flatten().cloned().collect());
                }
                for (topic, count, done) in waiting {
                    let events = written.get_mut(&topic).map(|rest| rest.drain(..count).collect());
                    // Whoever no longer waits does not need the answer.
                    let _ = done.send(Ok(events.unwrap_or_default()));
                }
            }
            Err(error) => {
                let error = PublishError::Database(Arc::new(error));
                for (_, _, done) in waiting {
                    let _ = done.send(Err(error.clone()));
                }
            }
        }
    }
}

/// The events of each topic, by name. Topics are locked in the order of their names, so that two
/// gateways that write to the same ones cannot block each other.
async fn commit(
    log: &EventLog,
    topics: BTreeMap<String, (Topic, Vec<NewEvent>)>,
) -> Result<HashMap<String, Vec<Event>>, DbErr> {
    let tx = log.database().begin_write().await?;
    let mut written = HashMap::with_capacity(topics.len());
    for (name, (topic, events)) in topics {
        written.insert(name, log.append(&tx, &topic, events).await?);
    }
    tx.commit().await?;
    Ok(written)
}
