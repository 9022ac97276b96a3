//! Publishing the whole way: acknowledged after the commit, on SQLite with full sync and on
//! PostgreSQL; in the program itself, and over the API as agents do it.

use std::time::Duration;

use super::{Run, Scenario, metric::durable};
use crate::{
    serve::{ON_POSTGRES, VARIANTS, postgres},
    server::Peer,
    stand::{Pace, Round, Stand},
    table::{Column, Section, Unit},
};

/// For one round.
const LIMIT: Duration = Duration::from_secs(15);

/// A way to publish.
struct Kind {
    /// What the tables call it.
    name: &'static str,
    /// In one request.
    events: usize,
    requests: usize,
    /// Requests under way, and topics that they go to.
    in_flight: usize,
}

const INSIDE: [Kind; 2] = [
    Kind { name: "batches", events: 500, requests: 100, in_flight: 12 },
    Kind { name: "single", events: 1, requests: 10_000, in_flight: 64 },
];

const OVER_API: [Kind; 3] = [
    Kind { name: "one prompt", events: 1, requests: 2_000, in_flight: 1 },
    Kind { name: "64 prompts", events: 1, requests: 10_000, in_flight: 64 },
    Kind { name: "lines", events: 50, requests: 500, in_flight: 1 },
];

impl Run {
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
        let [batches, single] = &INSIDE;
        let title = format!(
            "durable publish: batches of {} with {} in flight, single events with {}",
            batches.events, batches.in_flight, single.in_flight
        );
        self.commits(title, &INSIDE, &mut stands, Stand::publish_durably)?;
        let [one, many, lines] = &OVER_API;
        let title = format!(
            "publishing over the API, acknowledged after the commit: single events with {} in \
             flight, with {}, and {} in lines with {}",
            one.in_flight, many.in_flight, lines.events, lines.in_flight
        );
        self.commits(title, &OVER_API, &mut stands, Stand::publish_as_agent)
    }

    /// Rounds of each kind, and their table.
    #[expect(clippy::cast_precision_loss, reason = "a number of events")]
    fn commits(
        &mut self,
        title: String,
        kinds: &[Kind],
        stands: &mut Vec<Stand>,
        publish: fn(&mut Stand, &Pace, usize) -> anyhow::Result<Round>,
    ) -> anyhow::Result<()> {
        for _ in 0..self.rounds {
            for &Kind { name, events, requests: count, in_flight } in kinds {
                let topics = (0, in_flight);
                let pace = Pace { count, per_second: None, in_flight, topics, limit: LIMIT };
                self.rounds(
                    name,
                    1,
                    stands,
                    |stand| publish(stand, &pace, events),
                    |findings, row, round| {
                        let published = &round.published;
                        let committed = (published.acknowledged * events) as f64;
                        findings.add(&durable(name), row, committed / published.publishing);
                        let p50 = published.acknowledging.p50.unwrap_or(f64::NAN);
                        let p99 = published.acknowledging.p99.unwrap_or(f64::NAN);
                        findings.add(&durable(&format!("{name} p50")), row, p50);
                        findings.add(&durable(&format!("{name} p99")), row, p99);
                    },
                );
            }
        }
        let columns = kinds.iter().flat_map(|Kind { name, .. }| {
            [
                Column::new(&format!("{name}: events/s"), &durable(name), Unit::Count),
                Column::new("p50", &durable(&format!("{name} p50")), Unit::Millis),
                Column::new("p99", &durable(&format!("{name} p99")), Unit::Millis),
            ]
        });
        let columns = columns.collect();
        // Those that nothing was found of are left out.
        let rows = [0, ON_POSTGRES].map(|variant| VARIANTS[variant].name.to_owned()).to_vec();
        self.show(Section { title, columns, rows, notes: Vec::new() })
    }
}
