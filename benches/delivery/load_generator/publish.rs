//! Publishes events, at a fixed rate or as fast as they are acknowledged, and counts the deliveries.

use std::time::Duration;

use mio::Token;

use super::{
    command::{Publish, Published},
    generator::{LoadGenerator, nanos_since},
    histogram::{Histogram, seconds},
    publisher::{Publisher, Sent, request},
};

/// Smallest token of a publisher. Subscribers have smaller tokens.
const FIRST_PUBLISHER: usize = 1 << 30;
/// Number of subscribers that read the time in their events.
const SAMPLED: usize = 1_000;
/// Nanoseconds without a delivery or an acknowledgement after which the missing events count as lost.
const SILENCE_LIMIT: u64 = 3_000_000_000;
/// If the next request is due within this many nanoseconds, the load generator polls once without waiting. A longer
/// wait ends half of this time before the request is due.
const EARLY: u64 = 1_500_000;

/// The counts so far.
struct Tally {
    sent: usize,
    acknowledged: usize,
    delivered: u64,
    last_delivery: u64,
    last_acknowledgement: u64,
    latency: Histogram,
    publish_latency: Histogram,
    error: Option<String>,
}

impl LoadGenerator {
    /// Publishes until everything is delivered, the time limit is reached, a request fails, or nothing has happened for
    /// [`SILENCE_LIMIT`].
    pub(super) fn publish(&mut self, command: &Publish) -> anyhow::Result<Published> {
        let mut readers = vec![0_u64; command.topics];
        for subscriber in self.subscribers.iter().flatten() {
            let topic = subscriber.topic.checked_sub(command.first_topic);
            if let Some(count) = topic.and_then(|topic| readers.get_mut(topic)) {
                *count += 1;
            }
        }
        let expected = (0..command.count).map(|i| readers[i % command.topics]).sum();
        let mut publishers: Vec<Publisher> = (0..command.in_flight)
            .map(|i| Publisher::new(command.address, Token(FIRST_PUBLISHER + i)))
            .collect();
        let mut idle: Vec<usize> = (0..command.in_flight).collect();
        let began = self.begin();
        let due = |i: usize| command.per_second.map(|rate| began + offset(i, rate));
        let mut tally = Tally {
            sent: 0,
            acknowledged: 0,
            delivered: 0,
            last_delivery: began,
            last_acknowledgement: began,
            latency: Histogram::new(),
            publish_latency: Histogram::new(),
            error: None,
        };
        let deadline = began + u64::try_from(command.limit.as_nanos())?;
        loop {
            let mut now = self.now();
            while tally.sent < command.count
                && due(tally.sent).is_none_or(|due| due <= now)
                && let Some(free) = idle.pop()
            {
                let topic = command.first_topic + tally.sent % command.topics;
                let path = command.paths.get(topic).unwrap_or(&command.path);
                let request = request(command.form, path, topic, now);
                let sent = Sent { due: due(tally.sent).unwrap_or(now), at: now };
                publishers[free].publish(self.poll.registry(), &request, sent)?;
                tally.sent += 1;
                now = self.now();
            }
            let progress = tally.last_delivery.max(tally.last_acknowledgement);
            let is_done = tally.acknowledged == command.count && tally.delivered >= expected;
            let is_over = now > deadline
                || (tally.sent == command.count || idle.is_empty())
                    && now > progress + SILENCE_LIMIT;
            if is_done || is_over || tally.error.is_some() {
                break;
            }
            // Without an idle publisher, the next response ends the wait.
            let next = due(tally.sent).filter(|_| tally.sent < command.count && !idle.is_empty());
            let pause = match next.map(|due| due.saturating_sub(now)) {
                Some(rest) if rest <= EARLY => Duration::ZERO,
                Some(rest) => Duration::from_nanos(rest - EARLY / 2),
                None => Duration::from_millis(100),
            };
            self.wait(pause)?;
            self.read_ready(&mut publishers, &mut idle, &mut tally);
        }
        let end = due(command.count.saturating_sub(1)).unwrap_or(tally.last_delivery);
        Ok(Published {
            acknowledged: tally.acknowledged,
            publish_seconds: seconds(tally.last_acknowledgement - began),
            delivered: tally.delivered,
            expected,
            delivery_seconds: seconds(tally.last_delivery - began),
            lag: seconds(tally.last_delivery.saturating_sub(end)),
            ended: self.subscribers.iter().filter(|slot| slot.is_none()).count(),
            latency: tally.latency.times(),
            publish_latency: tally.publish_latency.times(),
            busy: self.busy(began),
            error: tally.error,
        })
    }

    /// Reads every socket that the last poll found ready.
    fn read_ready(
        &mut self,
        publishers: &mut [Publisher],
        idle: &mut Vec<usize>,
        tally: &mut Tally,
    ) {
        let clock = self.clock();
        let sample_step = self.subscribers.len().div_ceil(SAMPLED).max(1);
        for event in &self.events {
            let token = event.token().0;
            if let Some(index) = token.checked_sub(FIRST_PUBLISHER) {
                let Some(publisher) = publishers.get_mut(index) else { continue };
                match publisher.read(&mut self.buffer) {
                    Ok(Some(sent)) => {
                        let now = nanos_since(clock);
                        tally.acknowledged += 1;
                        tally.publish_latency.add(now.saturating_sub(sent.due.min(sent.at)));
                        tally.last_acknowledgement = now;
                        idle.push(index);
                    }
                    Ok(None) => {}
                    Err(error) => tally.error = Some(format!("{error:#}")),
                }
                continue;
            }
            let Some(slot) = self.subscribers.get_mut(token) else { continue };
            let Some(subscriber) = slot else { continue };
            let mut latency = |at: u64| tally.latency.add(nanos_since(clock).saturating_sub(at));
            let times: Option<&mut dyn FnMut(u64)> =
                if token % sample_step == 0 { Some(&mut latency) } else { None };
            let received = subscriber.read(&mut self.buffer, times);
            if received.events > 0 {
                tally.delivered += received.events;
                tally.last_delivery = nanos_since(clock);
            }
            if received.ended.is_some() {
                *slot = None;
            }
        }
    }
}

/// Nanoseconds from the beginning to the time at which request number `i` is due.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "requests of one measurement"
)]
fn offset(i: usize, rate: f64) -> u64 {
    (i as f64 / rate * 1e9) as u64
}
