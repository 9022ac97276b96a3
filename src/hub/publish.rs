//! Group commit: the events of many publishers in one transaction.
//!
//! While one transaction commits, other publishers wait in a queue. The next transaction writes the events of all of
//! them. So they share the cost of a commit, which on SQLite is a sync of the disk. No publisher waits for a timer.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use sea_orm::{ConnAcquireErr, DbErr};
use tokio::sync::{mpsc, oneshot};

use super::{context::Context, delivery::Delivery};
use crate::{
    database::Failure,
    event::Event,
    event_log::{AppendRefused, AssignedPositions, NewEvents},
};

/// Maximum number of publishers in the queue. Others wait until the queue has space.
const QUEUE: usize = 1_024;

/// Maximum number of events in one transaction, so that the first publisher does not wait for long.
const BATCH_EVENTS: usize = 4_096;

/// Maximum number of bytes in one transaction, for the same reason and to limit memory.
const BATCH_BYTES: usize = 4 << 20;

/// The reason why events were not published.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// The event log refused these events.
    #[error(transparent)]
    Refused(#[from] AppendRefused),
    /// The database refused these events, or failed.
    #[error(transparent)]
    Database(Arc<DbErr>),
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Closed,
}

impl From<DbErr> for PublishError {
    fn from(error: DbErr) -> Self {
        match error {
            DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => Self::Closed,
            error => Self::Database(Arc::new(error)),
        }
    }
}

struct PublishRequest {
    addition: NewEvents,
    result_sender: ResultSender,
}

impl PublishRequest {
    fn bytes(&self) -> usize {
        self.addition.events.iter().map(|event| event.kind.len() + event.data.len()).sum()
    }
}

type ResultSender = oneshot::Sender<Result<Vec<Event>, PublishError>>;

/// Sends events to the task that writes them.
pub struct Publisher {
    requests: mpsc::Sender<PublishRequest>,
}

impl Publisher {
    /// Starts the task. The task writes events, and gives the committed events to `delivery`.
    pub fn start(context: &Arc<Context>, delivery: &Arc<Delivery>) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE);
        let writer = Writer { context: Arc::clone(context), delivery: Arc::clone(delivery) };
        // The task is not tracked. It ends when the hub is dropped, because that drops the sender.
        tokio::spawn(writer.run(queue));
        Self { requests }
    }

    /// Writes events. Returns after their transaction was committed.
    pub async fn publish(&self, addition: NewEvents) -> Result<Vec<Event>, PublishError> {
        let (result_sender, result) = oneshot::channel();
        let request = PublishRequest { addition, result_sender };
        self.requests.send(request).await.map_err(|_| PublishError::Closed)?;
        result.await.map_err(|_| PublishError::Closed)?
    }
}

struct Writer {
    context: Arc<Context>,
    delivery: Arc<Delivery>,
}

impl Writer {
    async fn run(self, mut queue: mpsc::Receiver<PublishRequest>) {
        let mut next = None;
        while let Some(first) = match next.take() {
            Some(request) => Some(request),
            None => queue.recv().await,
        } {
            let (mut events, mut bytes) = (first.addition.events.len(), first.bytes());
            let mut requests = vec![first];
            while let Ok(request) = queue.try_recv() {
                events += request.addition.events.len();
                bytes += request.bytes();
                if events > BATCH_EVENTS || bytes > BATCH_BYTES {
                    next = Some(request);
                    break;
                }
                requests.push(request);
            }
            self.write(requests).await;
        }
    }

    /// Writes all requests in one transaction. If the database refuses it, each half gets its own transaction. This
    /// repeats until only the refused request fails. If the database cannot write at all, all remaining requests get
    /// that error, and no other write is tried.
    async fn write(&self, mut requests: Vec<PublishRequest>) {
        // The log locks topics in this order. The sort is stable, so the requests of one topic stay in order.
        requests.sort_by(|a, b| a.addition.topic.as_str().cmp(b.addition.topic.as_str()));
        let (additions, waiting) =
            requests.into_iter().map(|request| (request.addition, request.result_sender)).unzip();
        let mut batches = vec![Batch { additions, waiting }];
        while let Some(mut batch) = batches.pop() {
            let began = Instant::now();
            let written = self.commit(&batch.additions).await;
            self.context.telemetry.committed(began.elapsed());
            match written {
                Ok(positions) => self.acknowledge(batch, positions),
                Err(error) if is_refused(&error) && batch.waiting.len() > 1 => {
                    let second = batch.halve();
                    batches.extend([second, batch]);
                }
                Err(error) => {
                    if !is_refused(&error) {
                        batch.waiting.extend(batches.drain(..).flat_map(|rest| rest.waiting));
                    }
                    batch.fail(&error.into());
                }
            }
        }
    }

    async fn commit(
        &self,
        additions: &[NewEvents],
    ) -> Result<Vec<Result<AssignedPositions, AppendRefused>>, DbErr> {
        let tx = self.context.log.database().begin_write().await?;
        let positions = self.context.log.append_all(&tx, additions).await?;
        tx.commit().await?;
        Ok(positions)
    }

    fn acknowledge(&self, batch: Batch, positions: Vec<Result<AssignedPositions, AppendRefused>>) {
        let additions = positions.into_iter().zip(batch.additions);
        let written: Vec<Result<Vec<Event>, AppendRefused>> = additions
            .map(|(position, addition)| {
                position.map(|position| position.into_events(addition).collect())
            })
            .collect();
        let all = written.iter().flatten().flatten().cloned().collect();
        for (events, result_sender) in written.into_iter().zip(batch.waiting) {
            // The send fails if the caller no longer waits for the result.
            let _ = result_sender.send(events.map_err(PublishError::Refused));
        }
        // A panic in delivery must not end this task, because then no event would be written again. The next heartbeat
        // delivers the events that are missing after a panic.
        let _ = catch_unwind(AssertUnwindSafe(|| self.delivery.committed(all)));
    }
}

/// Whether the database refused these events, but can write others.
fn is_refused(error: &DbErr) -> bool {
    Failure::from_error(error) == Failure::Refused
}

/// The content of one transaction, and the callers that wait for it, in the same order.
struct Batch {
    additions: Vec<NewEvents>,
    waiting: Vec<ResultSender>,
}

impl Batch {
    /// Removes the second half, and returns it.
    fn halve(&mut self) -> Self {
        let half = self.waiting.len() / 2;
        Self { additions: self.additions.split_off(half), waiting: self.waiting.split_off(half) }
    }

    fn fail(self, error: &PublishError) {
        for result_sender in self.waiting {
            let _ = result_sender.send(Err(error.clone()));
        }
    }
}
