//! The state of the load generator, and its clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use mio::{Events, Poll};

use super::subscriber::Subscriber;

/// Maximum number of events of one poll.
const EVENTS: usize = 1024;
/// Bytes. The buffer is large enough to empty a subscriber's socket with one read.
const BUFFER: usize = 512 * 1024;
/// Longest wait before the load generator checks whether it was told to stop.
const STOP_INTERVAL: Duration = Duration::from_millis(100);

/// All open streams, and the poll that watches them.
pub(super) struct LoadGenerator {
    pub(super) poll: Poll,
    pub(super) events: Events,
    /// By token. None for a stream that has ended.
    pub(super) subscribers: Vec<Option<Subscriber>>,
    pub(super) buffer: Vec<u8>,
    /// Set when standard input has ended.
    stopped: Arc<AtomicBool>,
    clock: Instant,
    /// Nanoseconds spent waiting for sockets during the present command.
    waited: u64,
}

impl LoadGenerator {
    pub(super) fn new(stopped: Arc<AtomicBool>) -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            subscribers: Vec::new(),
            buffer: vec![0; BUFFER],
            stopped,
            clock: Instant::now(),
            waited: 0,
        })
    }

    /// Nanoseconds since this program started.
    pub(super) fn now(&self) -> u64 {
        nanos_since(self.clock)
    }

    /// The instant at which [`Self::now`] was 0.
    pub(super) fn clock(&self) -> Instant {
        self.clock
    }

    /// Starts to measure how busy the load generator is, and returns the time.
    pub(super) fn begin(&mut self) -> u64 {
        self.waited = 0;
        self.now()
    }

    /// Waits for sockets, and returns the time.
    ///
    /// This polls without sleeping. A server that writes to a sleeping reader pays for the wake-up.
    /// The number of wake-ups depends on both programs, and makes a slow server look slower.
    pub(super) fn wait(&mut self, limit: Duration) -> anyhow::Result<u64> {
        anyhow::ensure!(!self.stopped.load(Ordering::Relaxed), "standard input has ended");
        let before = self.now();
        let deadline = before + u64::try_from(limit.min(STOP_INTERVAL).as_nanos())?;
        loop {
            let polled = self.poll.poll(&mut self.events, Some(Duration::ZERO));
            if let Err(error) = polled
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                return Err(error.into());
            }
            let now = self.now();
            if !self.events.is_empty() || now >= deadline {
                self.waited += now - before;
                return Ok(now);
            }
            // On a machine with one core, the server needs this core.
            thread::yield_now();
        }
    }

    /// Share of the time since `began` that was not spent waiting.
    #[expect(clippy::cast_precision_loss, reason = "a share of two digits")]
    pub(super) fn busy(&self, began: u64) -> f64 {
        1.0 - self.waited as f64 / (self.now() - began).max(1) as f64
    }
}

/// Nanoseconds since an instant.
pub(super) fn nanos_since(instant: Instant) -> u64 {
    u64::try_from(instant.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
