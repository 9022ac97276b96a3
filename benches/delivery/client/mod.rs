//! The load: thousands of subscribers and the publishers, in one thread of a process of its own.
//!
//! It must cost less than any server it measures, so it is a bare epoll loop that counts events
//! without looking into them; only a thousand subscribers, evenly chosen, also read the time in
//! them. How busy it was is part of every answer: above nine tenths, it may be the load that was
//! measured.

mod crowd;
mod histogram;
mod publisher;
mod round;
mod subscriber;

use std::{
    io::{Write, stdin, stdout},
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use mio::{Events, Poll};
use serde::{Deserialize, Serialize};

use self::subscriber::Subscriber;

pub(crate) use self::{
    publisher::Form,
    round::{Publish, Published},
    subscriber::Ready,
};

/// Events of one look at the sockets.
const EVENTS: usize = 1024;
/// Large enough for what piles up at one subscriber, so that it is read at once.
const BUFFER: usize = 512 * 1024;
/// Longest wait without a look at whether anybody still wants the answer.
const LOOK: Duration = Duration::from_millis(100);

/// What to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Open streams, in addition to those that are.
    Open(Open),
    /// Publish and wait until every subscriber has everything.
    Publish(Publish),
    /// Close all streams.
    Close,
}

/// Streams to open.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) address: SocketAddr,
    /// A file of lines `TOPIC TAB PATH TAB AUTHORIZATION`, the last of them may be empty.
    pub(crate) targets: PathBuf,
    /// Lines to leave out.
    pub(crate) skip: usize,
    pub(crate) count: usize,
    pub(crate) ready: Ready,
    pub(crate) in_flight: usize,
    pub(crate) limit: Duration,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) streams: usize,
    pub(crate) seconds: f64,
    /// Of the first that failed.
    pub(crate) error: Option<String>,
    /// Share of the time in which this program worked.
    pub(crate) busy: f64,
}

/// The answer to an order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Opened(Opened),
    Published(Published),
    Closed,
    Failed(String),
}

/// Obeys until nobody gives orders any more.
pub(crate) fn run() -> anyhow::Result<()> {
    let (sender, orders) = mpsc::channel();
    let gone = Arc::new(AtomicBool::new(false));
    let is_gone = Arc::clone(&gone);
    // In a thread, so that the end of input also ends what is being measured.
    thread::spawn(move || {
        for line in stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
        is_gone.store(true, Ordering::Relaxed);
    });
    let mut load = Load::new(gone)?;
    for order in orders {
        let answer = match serde_json::from_str(&order)? {
            Order::Open(open) => load.open(&open).map(Answer::Opened),
            Order::Publish(publish) => load.publish(&publish).map(Answer::Published),
            Order::Close => {
                load.subscribers.clear();
                Ok(Answer::Closed)
            }
        };
        let answer = answer.unwrap_or_else(|error| Answer::Failed(format!("{error:#}")));
        writeln!(stdout(), "{}", serde_json::to_string(&answer)?)?;
    }
    Ok(())
}

/// Everything that is open.
struct Load {
    poll: Poll,
    events: Events,
    /// By token; none where a stream has ended.
    subscribers: Vec<Option<Subscriber>>,
    buffer: Vec<u8>,
    gone: Arc<AtomicBool>,
    clock: Instant,
    /// Nanoseconds spent waiting for sockets since the last order.
    waited: u64,
}

impl Load {
    fn new(gone: Arc<AtomicBool>) -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            subscribers: Vec::new(),
            buffer: vec![0; BUFFER],
            gone,
            clock: Instant::now(),
            waited: 0,
        })
    }

    /// Nanoseconds on this program's clock.
    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Waits for sockets, and returns the time.
    ///
    /// It does so awake: who writes to a sleeping reader pays for waking it, and how often it comes
    /// to that depends on both in a way that makes a slow server look slower.
    fn wait(&mut self, most: Duration) -> anyhow::Result<u64> {
        anyhow::ensure!(!self.gone.load(Ordering::Relaxed), "nobody waits for the answer");
        let before = self.now();
        let until = before + u64::try_from(most.min(LOOK).as_nanos())?;
        loop {
            let polled = self.poll.poll(&mut self.events, Some(Duration::ZERO));
            if let Err(error) = polled
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                return Err(error.into());
            }
            let now = self.now();
            if !self.events.is_empty() || now >= until {
                self.waited += now - before;
                return Ok(now);
            }
            // Where there is one core only, the server needs it.
            thread::yield_now();
        }
    }

    /// Share of the time since `began` that was not spent waiting.
    #[expect(clippy::cast_precision_loss, reason = "a share of two digits")]
    fn busy(&self, began: u64) -> f64 {
        1.0 - self.waited as f64 / (self.now() - began).max(1) as f64
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact for the first hundred days")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
