//! One topic, many subscribers: memory while nothing happens, paced, then in bursts.

use std::time::Duration;

use super::{DELIVERIES_PER_SECOND, Run, Scenario, metric};
use crate::{
    server::Peer,
    stand::{Pace, Stand},
    table::{Column, Section, Unit},
};

/// Rounds for each that is asked for: a few percent are looked for.
const PACED: usize = 2;
/// Of a paced round.
const SECONDS: f64 = 3.0;
/// Events of a burst, fewer where each is ten thousand deliveries.
const BURST: usize = 200;
const LARGE_BURST: usize = 100;
/// For a round that hangs.
const LIMIT: Duration = Duration::from_secs(40);

impl Run {
    pub(super) fn crowd(&mut self, size: usize) -> anyhow::Result<()> {
        let wanted = [Scenario::Idle, Scenario::Paced, Scenario::Burst].map(|it| self.wants(it));
        let [idle, paced, burst] = wanted;
        if !wanted.contains(&true) {
            return Ok(());
        }
        let mut stands = self.stands(&self.peers.clone());
        self.fill(&mut stands, size, (0, 1));
        let mut memory = Vec::new();
        self.each(&mut stands, |stand| {
            memory.push((stand.peer.name(), stand.memory_per_stream()?));
            Ok(())
        });
        for (row, memory) in memory {
            self.findings.add(&metric::idle(size), row, memory);
        }
        if idle {
            self.show(Section {
                title: format!("{size} idle streams: memory of the server per stream (PSS)"),
                columns: vec![Column::new("memory", &metric::idle(size), Unit::Kib)],
                rows: self.names(),
                notes: Vec::new(),
            })?;
        }
        if paced {
            self.paced(size, &mut stands)?;
        }
        if burst {
            self.burst(size, &mut stands)?;
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of subscribers")]
    fn paced(&mut self, size: usize, stands: &mut Vec<Stand>) -> anyhow::Result<()> {
        let pace = pace(size, 0, SECONDS);
        let name = |what: &str| metric::paced(size, what);
        self.rounds(
            "paced",
            PACED * self.rounds,
            stands,
            |stand| stand.publish(&pace),
            |findings, row, round| {
                findings.add(&name("cpu"), row, round.cpu_per_delivery());
                let latency = round.published.latency;
                findings.add(&name("p50"), row, latency.p50.unwrap_or(f64::NAN));
                findings.add(&name("p99"), row, latency.p99.unwrap_or(f64::NAN));
            },
        );
        let rate = DELIVERIES_PER_SECOND / size as f64;
        self.show(Section {
            title: format!("paced: {rate} events a second to {size} subscribers"),
            columns: vec![
                Column::new("CPU per delivery", &name("cpu"), Unit::Micros),
                Column::ratio("to floor", &name("cpu"), Peer::Floor.name()),
                Column::ratio("to Nchan", &name("cpu"), Peer::Nchan.name()),
                Column::new("p50", &name("p50"), Unit::Millis),
                Column::new("p99", &name("p99"), Unit::Millis),
            ],
            rows: self.names(),
            notes: Vec::new(),
        })
    }

    fn burst(&mut self, size: usize, stands: &mut Vec<Stand>) -> anyhow::Result<()> {
        let count = if size > 1_000 { LARGE_BURST } else { BURST };
        let pace = Pace { count, per_second: None, in_flight: 1, topics: (0, 1), limit: LIMIT };
        let name = |what: &str| metric::burst(size, what);
        self.rounds(
            "burst",
            self.rounds,
            stands,
            |stand| stand.publish(&pace),
            |findings, row, round| {
                findings.add(&name("rate"), row, round.deliveries_per_second());
                findings.add(&name("cpu"), row, round.cpu_per_delivery());
                let latency = round.published.latency;
                findings.add(&name("p50"), row, latency.p50.unwrap_or(f64::NAN));
            },
        );
        for stand in stands {
            match stand.memory_per_stream() {
                Ok(memory) => self.findings.add(&name("memory after"), stand.peer.name(), memory),
                Err(error) => self.notes.push(format!("{}: {error:#}", stand.peer.name())),
            }
        }
        self.show(Section {
            title: format!(
                "burst: {count} events to {size} subscribers, each published when the one before \
                 was acknowledged"
            ),
            columns: vec![
                Column::new("deliveries/s", &name("rate"), Unit::Count),
                Column::ratio("to floor", &name("rate"), Peer::Floor.name()),
                Column::ratio("to Nchan", &name("rate"), Peer::Nchan.name()),
                Column::new("CPU per delivery", &name("cpu"), Unit::Micros),
                Column::new("p50", &name("p50"), Unit::Millis),
                Column::new("idle memory", &metric::idle(size), Unit::Kib),
                Column::new("memory after", &name("memory after"), Unit::Kib),
            ],
            rows: self.names(),
            notes: Vec::new(),
        })
    }
}

/// [`DELIVERIES_PER_SECOND`] to so many subscribers of one topic.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small positive numbers"
)]
pub(super) fn pace(size: usize, topic: usize, seconds: f64) -> Pace {
    let rate = DELIVERIES_PER_SECOND / size as f64;
    let count = (rate * seconds).ceil() as usize;
    Pace { count, per_second: Some(rate), in_flight: 8, topics: (topic, 1), limit: LIMIT }
}
