//! Group commit: the events of many publishers in one transaction.
//!
//! While one transaction commits, the next publishers queue; the next transaction takes all of
//! them. So the cost of a commit (on SQLite a sync of the disk) is shared by as many as are waiting,
//! and nobody waits for a timer.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    time::Instant,
};

use sea_orm::{ConnAcquireErr, DbErr};
use tokio::sync::{mpsc, oneshot};

use super::Hub;
use crate::{
    database::Failure,
    event::Event,
    event_log::{Addition, EventLog, Number, Refused},
    telemetry::Telemetry,
};

/// Publishers that wait; more are held back before they queue.
const QUEUE: usize = 1_024;

/// Events in one transaction, so that the first of them does not wait for ever.
const BATCH_EVENTS: usize = 4_096;

/// Bytes in one transaction, for the same reason and for the memory that it takes.
const BATCH_BYTES: usize = 4 << 20;

/// Why events were not published.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// The log does not take these events.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The database refused these events, or did not answer.
    #[error(transparent)]
    Database(Arc<DbErr>),
    /// The service is ending.
    #[error("the service is ending")]
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

/// The way to the writer.
pub(super) struct Publisher {
    jobs: mpsc::Sender<Job>,
}

impl Publisher {
    pub(super) fn start(hub: Weak<Hub>, log: EventLog, telemetry: Arc<Telemetry>) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Writer { hub, log, telemetry };
        // Not a tracked task: it ends when the hub, and with it the sender, is gone.
        tokio::spawn(writer.run(queue));
        Self { jobs }
    }

    pub(super) async fn publish(&self, addition: Addition) -> Result<Vec<Event>, PublishError> {
        let (done, answer) = oneshot::channel();
        let job = Job { addition, done };
        self.jobs.send(job).await.map_err(|_| PublishError::Closed)?;
        answer.await.map_err(|_| PublishError::Closed)?
    }
}

struct Writer {
    hub: Weak<Hub>,
    log: EventLog,
    telemetry: Arc<Telemetry>,
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

    /// Writes all jobs in one transaction. When the database refuses something in it, each half gets
    /// a transaction of its own, and so on, so that only the job with the fault fails. When the
    /// database cannot write at all, that is the answer to every job, and it is not asked again.
    async fn write(&self, mut jobs: Vec<Job>) {
        // The order in which the log locks topics; jobs of one topic stay as they came.
        jobs.sort_by(|a, b| a.addition.topic.as_str().cmp(b.addition.topic.as_str()));
        let (additions, waiting) = jobs.into_iter().map(|job| (job.addition, job.done)).unzip();
        let mut batches = vec![Batch { additions, waiting }];
        while let Some(mut batch) = batches.pop() {
            let began = Instant::now();
            let written = self.commit(&batch.additions).await;
            self.telemetry.committed(began.elapsed());
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
        let tx = self.log.database().begin_write().await?;
        let numbers = self.log.append_all(&tx, additions).await?;
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
            // Whoever no longer waits does not need the answer.
            let _ = done.send(events.map_err(PublishError::Refused));
        }
        if let Some(hub) = self.hub.upgrade() {
            // A fault in delivery is mended by the next heartbeat; without a writer nothing would.
            let _ = catch_unwind(AssertUnwindSafe(|| hub.committed(all)));
        }
    }
}

/// Whether the database refused these events, and would take others.
fn is_refused(error: &DbErr) -> bool {
    Failure::of(error) == Failure::Refused
}

/// What one transaction writes, and who waits for it, in the same order.
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
