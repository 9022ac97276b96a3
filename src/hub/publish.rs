//! Group commit: the events of many publishers in one transaction.
//!
//! While one transaction commits, the next publishers queue, and the next transaction takes all of
//! them. So all waiting publishers share the cost of a commit, which on SQLite is a sync of the
//! disk, and no publisher waits for a timer.

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
    event_log::{Addition, Number, Refused},
};

/// Most publishers in the queue. Others wait until there is a free place in it.
const QUEUE: usize = 1_024;

/// Most events in one transaction, so that the first of them does not wait for long.
const BATCH_EVENTS: usize = 4_096;

/// Most bytes in one transaction, for the same reason and to bound memory.
const BATCH_BYTES: usize = 4 << 20;

/// The reason why events were not published.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// The log does not take these events.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The database refused these events, or did not answer.
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

struct Job {
    addition: Addition,
    done: Done,
}

impl Job {
    fn bytes(&self) -> usize {
        self.addition.events.iter().map(|event| event.kind.len() + event.data.len()).sum()
    }
}

type Done = oneshot::Sender<Result<Vec<Event>, PublishError>>;

/// Sends events to the task that writes them.
pub struct Publisher {
    jobs: mpsc::Sender<Job>,
}

impl Publisher {
    /// Starts the task. It has the events delivered that it has committed.
    pub fn start(context: &Arc<Context>, delivery: &Arc<Delivery>) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Writer { context: Arc::clone(context), delivery: Arc::clone(delivery) };
        // Not a tracked task: it ends when the hub, and with it the sender, is dropped.
        tokio::spawn(writer.run(queue));
        Self { jobs }
    }

    /// Writes events. Returns after their transaction was committed.
    pub async fn publish(&self, addition: Addition) -> Result<Vec<Event>, PublishError> {
        let (done, answer) = oneshot::channel();
        let job = Job { addition, done };
        self.jobs.send(job).await.map_err(|_| PublishError::Closed)?;
        answer.await.map_err(|_| PublishError::Closed)?
    }
}

struct Writer {
    context: Arc<Context>,
    delivery: Arc<Delivery>,
}

impl Writer {
    async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut next = None;
        while let Some(first) = match next.take() {
            Some(job) => Some(job),
            None => queue.recv().await,
        } {
            let (mut events, mut bytes) = (first.addition.events.len(), first.bytes());
            let mut jobs = vec![first];
            while let Ok(job) = queue.try_recv() {
                events += job.addition.events.len();
                bytes += job.bytes();
                if events > BATCH_EVENTS || bytes > BATCH_BYTES {
                    next = Some(job);
                    break;
                }
                jobs.push(job);
            }
            self.write(jobs).await;
        }
    }

    /// Writes all jobs in one transaction. If the database refuses something in it, each half gets
    /// its own transaction, and so on, so that only the job with the fault fails. If the database
    /// cannot write at all, every job gets that error, and no other write is tried.
    async fn write(&self, mut jobs: Vec<Job>) {
        // The order in which the log locks topics. Jobs of one topic stay in order.
        jobs.sort_by(|a, b| a.addition.topic.as_str().cmp(b.addition.topic.as_str()));
        let (additions, waiting) = jobs.into_iter().map(|job| (job.addition, job.done)).unzip();
        let mut batches = vec![Batch { additions, waiting }];
        while let Some(mut batch) = batches.pop() {
            let began = Instant::now();
            let written = self.commit(&batch.additions).await;
            self.context.telemetry.committed(began.elapsed());
            match written {
                Ok(numbers) => self.acknowledge(batch, numbers),
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

    async fn commit(&self, additions: &[Addition]) -> Result<Vec<Result<Number, Refused>>, DbErr> {
        let tx = self.context.log.database().begin_write().await?;
        let numbers = self.context.log.append_all(&tx, additions).await?;
        tx.commit().await?;
        Ok(numbers)
    }

    fn acknowledge(&self, batch: Batch, numbers: Vec<Result<Number, Refused>>) {
        let additions = numbers.into_iter().zip(batch.additions);
        let written: Vec<Result<Vec<Event>, Refused>> = additions
            .map(|(number, addition)| number.map(|number| number.of(addition).collect()))
            .collect();
        let all = written.iter().flatten().flatten().cloned().collect();
        for (events, done) in written.into_iter().zip(batch.waiting) {
            // A caller that no longer waits does not need the answer.
            let _ = done.send(events.map_err(PublishError::Refused));
        }
        // The next heartbeat repairs what a panic in delivery has left. Without this task, no event
        // would be written again.
        let _ = catch_unwind(AssertUnwindSafe(|| self.delivery.committed(all)));
    }
}

/// Whether the database refused these events, and would take others.
fn is_refused(error: &DbErr) -> bool {
    Failure::of(error) == Failure::Refused
}

/// The content of one transaction, and the callers that wait for it, in the same order.
struct Batch {
    additions: Vec<Addition>,
    waiting: Vec<Done>,
}

impl Batch {
    /// Takes the second half away and returns it.
    fn halve(&mut self) -> Self {
        let half = self.waiting.len() / 2;
        Self { additions: self.additions.split_off(half), waiting: self.waiting.split_off(half) }
    }

    fn fail(self, error: &PublishError) {
        for done in self.waiting {
            let _ = done.send(Err(error.clone()));
        }
    }
}
