//! One round: publishing, by the clock or as fast as it is acknowledged, and counting what arrives.

use std::{net::SocketAddr, time::Duration};

use mio::Token;
use serde::{Deserialize, Serialize};

use super::{
    Load,
    histogram::{Histogram, Times},
    publisher::{Form, Publisher, Sent, request},
    seconds,
};

/// Tokens of publishers; subscribers have the numbers below.
const PUBLISHERS: usize = 1 << 30;
/// Subscribers that look at the time in their events.
const LOOKERS: usize = 1_000;
/// Without any sign of life for so long, what is missing is lost.
const PATIENCE: u64 = 3_000_000_000;
/// The kernel's timer for epoll counts milliseconds: what comes sooner is waited for awake.
const AWAKE: u64 = 1_500_000;

/// What to publish.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Publish {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    /// By topic, `PATH TAB AUTHORIZATION`, instead of the path; empty for all but
    /// [`Form::Events`].
    pub(crate) targets: Vec<String>,
    pub(crate) form: Form,
    /// Requests.
    pub(crate) count: usize,
    /// How many in a second; as fast as they are acknowledged if absent.
    pub(crate) per_second: Option<f64>,
    /// Requests that wait for their answer at the same time.
    pub(crate) in_flight: usize,
    /// The request with the number `i` goes to topic `first_topic + i % topics`.
    pub(crate) first_topic: usize,
    pub(crate) topics: usize,
    /// For the whole.
    pub(crate) limit: Duration,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Published {
    /// Requests that were acknowledged.
    pub(crate) acknowledged: usize,
    /// From the first request to the last acknowledgement.
    pub(crate) publishing: f64,
    /// Events that arrived, and that were to.
    pub(crate) arrived: u64,
    pub(crate) expected: u64,
    /// From the first request to the last arrival.
    pub(crate) arriving: f64,
    /// Last arrival behind the time at which the last request was due.
    pub(crate) late: f64,
    /// Streams that ended meanwhile or before.
    pub(crate) ended: usize,
    /// From request to arrival.
    pub(crate) latency: Times,
    /// From when a request was due to its acknowledgement.
    pub(crate) acknowledging: Times,
    /// Share of the time in which this program worked.
    pub(crate) busy: f64,
    /// Of the publish that failed, and ended the round.
    pub(crate) error: Option<String>,
}

/// What is counted on the way.
struct Tally {
    sent: usize,
    acknowledged: usize,
    arrived: u64,
    last_arrival: u64,
    last_answer: u64,
    latency: Histogram,
    acknowledging: Histogram,
    error: Option<String>,
}

impl Load {
    pub(super) fn publish(&mut self, order: &Publish) -> anyhow::Result<Published> {
        let mut readers = vec![0_u64; order.topics];
        for subscriber in self.subscribers.iter().flatten() {
            let topic = subscriber.topic.checked_sub(order.first_topic);
            if let Some(count) = topic.and_then(|topic| readers.get_mut(topic)) {
                *count += 1;
            }
        }
        let expected = (0..order.count).map(|i| readers[i % order.topics]).sum();
        let mut publishers: Vec<Publisher> = (0..order.in_flight)
            .map(|i| Publisher::new(order.address, Token(PUBLISHERS + i)))
            .collect();
        let mut idle: Vec<usize> = (0..order.in_flight).collect();
        let began = self.now();
        self.waited = 0;
        let due = |i: usize| order.per_second.map(|rate| began + place(i, rate));
        let mut tally = Tally {
            sent: 0,
            acknowledged: 0,
            arrived: 0,
            last_arrival: began,
            last_answer: began,
            latency: Histogram::new(),
            acknowledging: Histogram::new(),
            error: None,
        };
        let deadline = began + u64::try_from(order.limit.as_nanos())?;
        loop {
            let mut now = self.now();
            while tally.sent < order.count
                && due(tally.sent).is_none_or(|due| due <= now)
                && let Some(free) = idle.pop()
            {
                let topic = order.first_topic + tally.sent % order.topics;
                let path = order.targets.get(topic).unwrap_or(&order.path);
                let request = request(order.form, path, topic, now);
                let sent = Sent { due: due(tally.sent).unwrap_or(now), at: now };
                publishers[free].publish(self.poll.registry(), &request, sent)?;
                tally.sent += 1;
                now = self.now();
            }
            let progress = tally.last_arrival.max(tally.last_answer);
            let is_done = tally.acknowledged == order.count && tally.arrived >= expected;
            let is_over = now > deadline
                || (tally.sent == order.count || idle.is_empty()) && now > progress + PATIENCE;
            if is_done || is_over || tally.error.is_some() {
                break;
            }
            // Nobody to send with: an answer will wake us.
            let next = due(tally.sent).filter(|_| tally.sent < order.count && !idle.is_empty());
            let pause = match next.map(|due| due.saturating_sub(now)) {
                Some(rest) if rest <= AWAKE => Duration::ZERO,
                Some(rest) => Duration::from_nanos(rest - AWAKE / 2),
                None => Duration::from_millis(100),
            };
            self.wait(pause)?;
            self.look(&mut publishers, &mut idle, &mut tally);
        }
        let end = due(order.count.saturating_sub(1)).unwrap_or(tally.last_arrival);
        Ok(Published {
            acknowledged: tally.acknowledged,
            publishing: seconds(tally.last_answer - began),
            arrived: tally.arrived,
            expected,
            arriving: seconds(tally.last_arrival - began),
            late: seconds(tally.last_arrival.saturating_sub(end)),
            ended: self.subscribers.iter().filter(|place| place.is_none()).count(),
            latency: tally.latency.times(),
            acknowledging: tally.acknowledging.times(),
            busy: self.busy(began),
            error: tally.error,
        })
    }

    /// Reads every socket that has something.
    fn look(&mut self, publishers: &mut [Publisher], idle: &mut Vec<usize>, tally: &mut Tally) {
        let looker = self.subscribers.len().div_ceil(LOOKERS).max(1);
        for event in &self.events {
            let token = event.token().0;
            if let Some(which) = token.checked_sub(PUBLISHERS) {
                let Some(publisher) = publishers.get_mut(which) else { continue };
                match publisher.read(&mut self.buffer) {
                    Ok(Some(sent)) => {
                        let now = elapsed(self.clock);
                        tally.acknowledged += 1;
                        tally.acknowledging.add(now.saturating_sub(sent.due.min(sent.at)));
                        tally.last_answer = now;
                        idle.push(which);
                    }
                    Ok(None) => {}
                    Err(error) => tally.error = Some(format!("{error:#}")),
                }
                continue;
            }
            let Some(place) = self.subscribers.get_mut(token) else { continue };
            let Some(subscriber) = place else { continue };
            let clock = self.clock;
            let mut latency = |at: u64| tally.latency.add(elapsed(clock).saturating_sub(at));
            let stamps: Option<&mut dyn FnMut(u64)> =
                if token % looker == 0 { Some(&mut latency) } else { None };
            let seen = subscriber.read(&mut self.buffer, stamps);
            if seen.events > 0 {
                tally.arrived += seen.events;
                tally.last_arrival = elapsed(clock);
            }
            if seen.ended.is_some() {
                *place = None;
            }
        }
    }
}

/// Nanoseconds from the beginning to the request with the number `i`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "requests of one round"
)]
fn place(i: usize, rate: f64) -> u64 {
    (i as f64 / rate * 1e9) as u64
}

fn elapsed(clock: std::time::Instant) -> u64 {
    u64::try_from(clock.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
