//! Many topics with one subscriber each: what one event costs when nobody shares it.

use std::time::Duration;

use super::{Run, Scenario, metric::one_to_one};
use crate::{
    serve::TOPICS,
    server::Peer,
    stand::Pace,
    table::{Column, Section, Unit},
};

const EVENTS_PER_SECOND: f64 = 2_000.0;
/// Three seconds.
const EVENTS: usize = 6_000;

impl Run {
    pub(super) fn one_to_one(&mut self) -> anyhow::Result<()> {
        if !self.wants(Scenario::OneToOne) {
            return Ok(());
        }
        let topics = TOPICS.min(self.most);
        let mut stands = self.stands(&self.peers.clone());
        self.fill(&mut stands, topics, (0, topics));
        let pace = Pace {
            count: EVENTS,
            per_second: Some(EVENTS_PER_SECOND),
            in_flight: 64,
            topics: (0, topics),
            limit: Duration::from_secs(20),
        };
        self.rounds(
            "one to one",
            self.rounds,
            &mut stands,
            |stand| stand.publish(&pace),
            |findings, row, round| {
                findings.add(&one_to_one("cpu"), row, round.cpu_per_delivery());
                let latency = round.published.latency;
                findings.add(&one_to_one("p50"), row, latency.p50.unwrap_or(f64::NAN));
                findings.add(&one_to_one("p99"), row, latency.p99.unwrap_or(f64::NAN));
            },
        );
        self.show(Section {
            title: format!(
                "one to one: {topics} topics with one subscriber each, {EVENTS_PER_SECOND} events \
                 a second"
            ),
            columns: vec![
                Column::new("p50", &one_to_one("p50"), Unit::Micros),
                Column::ratio("to floor", &one_to_one("p50"), Peer::Floor.name()),
                Column::ratio("to Nchan", &one_to_one("p50"), Peer::Nchan.name()),
                Column::new("p99", &one_to_one("p99"), Unit::Micros),
                Column::new("CPU per delivery", &one_to_one("cpu"), Unit::Micros),
            ],
            rows: self.names(),
            notes: vec!["CPU with the publish request".to_owned()],
        })
    }
}
