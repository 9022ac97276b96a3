//! Publishing the whole way: acknowledged after the commit, on SQLite with full sync and on PostgreSQL.

use std::time::Duration;

use super::{Run, Scenario, metric::durable};
use crate::{
    serve::{ON_POSTGRES, postgres},
    server::Peer,
    stand::Pace,
    table::{Column, Section, Unit},
};

/// Events of one batch, and batches that are under way.
const BATCH: u32 = 500;
const BATCHES_IN_FLIGHT: usize = 12;
const BATCHES: usize = 100;
/// Events on their own.
const SINGLES_IN_FLIGHT: usize = 64;
const SINGLES: usize = 10_000;
/// For one round.
const LIMIT: Duration = Duration::from_secs(15);

impl Run {
    #[expect(clippy::cast_precision_loss, reason = "a number of events")]
    pub(super) fn durable(&mut self) -> anyhow::Result<()> {
        if !self.wants(Scenario::Durable) {
            return Ok(());
        }
        // How frames leave is of no account here, so one variant is enough.
        let mut peers: Vec<Peer> =
            self.peers.iter().copied().filter(|peer| *peer == Peer::Streamgate(0)).collect();
        if postgres().is_some() && !peers.is_empty() {
            peers.push(Peer::Streamgate(ON_POSTGRES));
        }
        let mut stands = self.stands(&peers);
        let kinds = [
            ("batches", BATCH, BATCHES, BATCHES_IN_FLIGHT),
            ("single", 1, SINGLES, SINGLES_IN_FLIGHT),
        ];
        for _ in 0..self.rounds {
            for (kind, events, count, in_flight) in kinds {
                let topics = (0, in_flight);
                let pace = Pace { count, per_second: None, in_flight, topics, limit: LIMIT };
                self.rounds(
                    kind,
                    1,
                    &mut stands,
                    |stand| stand.publish_durably(&pace, events),
                    |findings, row, round| {
                        let published = &round.published;
                        let committed = published.acknowledged as f64 * f64::from(events);
                        findings.add(&durable(kind), row, committed / published.publishing);
                        let p50 = published.acknowledging.p50.unwrap_or(f64::NAN);
                        let p99 = published.acknowledging.p99.unwrap_or(f64::NAN);
                        findings.add(&durable(&format!("{kind} p50")), row, p50);
                        findings.add(&durable(&format!("{kind} p99")), row, p99);
                    },
                );
            }
        }
        self.show(Section {
            title: format!(
                "durable publish: batches of {BATCH} with {BATCHES_IN_FLIGHT} in flight, single \
                 events with {SINGLES_IN_FLIGHT}"
            ),
            columns: vec![
                Column::new("batches: events/s", &durable("batches"), Unit::Count),
                Column::new("p50", &durable("batches p50"), Unit::Millis),
                Column::new("p99", &durable("batches p99"), Unit::Millis),
                Column::new("single: events/s", &durable("single"), Unit::Count),
                Column::new("p50", &durable("single p50"), Unit::Millis),
                Column::new("p99", &durable("single p99"), Unit::Millis),
            ],
            rows: peers.iter().map(|peer| peer.name().to_owned()).collect(),
            notes: Vec::new(),
        })
    }
}
