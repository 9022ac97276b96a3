//! Publishing with a commit before the acknowledgement, on SQLite with full sync and on PostgreSQL:
//! with `Hub::publish`, and over the API as agents publish.

use std::time::Duration;

use super::{
    metric,
    run::{Run, Scenario},
};
use crate::{
    measurement::Measurement,
    peer::Peer,
    streamgate::{POSTGRES, VARIANTS, postgres_url},
    table::{Column, Section, Unit},
    test_bed::TestBed,
    workload::Workload,
};

/// Time limit of one measurement.
const LIMIT: Duration = Duration::from_secs(15);

/// A way to publish.
struct Kind {
    /// Name in the tables.
    name: &'static str,
    /// Events in one request.
    events: usize,
    requests: usize,
    /// Requests that wait for their responses at the same time, and number of topics.
    in_flight: usize,
}

const IN_PROCESS: [Kind; 2] = [
    Kind { name: "batches", events: 500, requests: 100, in_flight: 12 },
    Kind { name: "single", events: 1, requests: 10_000, in_flight: 64 },
];

const OVER_API: [Kind; 3] = [
    Kind { name: "one prompt", events: 1, requests: 2_000, in_flight: 1 },
    Kind { name: "64 prompts", events: 1, requests: 10_000, in_flight: 64 },
    Kind { name: "lines", events: 50, requests: 500, in_flight: 1 },
];

pub(super) fn durable(run: &mut Run) -> anyhow::Result<()> {
    if !run.includes(Scenario::Durable) {
        return Ok(());
    }
    // One variant is enough, because the others differ only in how they write to sockets.
    let mut peers: Vec<Peer> =
        run.peers.iter().copied().filter(|peer| *peer == Peer::Streamgate(0)).collect();
    if postgres_url().is_some() && !peers.is_empty() {
        peers.push(Peer::Streamgate(POSTGRES));
    }
    let mut beds = run.start(&peers);
    let [batches, single] = &IN_PROCESS;
    let title = format!(
        "durable: publishing with `Hub::publish`, batches of {} events with {} in flight, single \
         events with {} in flight",
        batches.events, batches.in_flight, single.in_flight
    );
    measure(run, title, &IN_PROCESS, &mut beds, TestBed::publish_durably)?;
    let [one, many, lines] = &OVER_API;
    let title = format!(
        "durable: publishing over the API, single events with {} and {} in flight, {} lines per \
         request with {} in flight",
        one.in_flight, many.in_flight, lines.events, lines.in_flight
    );
    measure(run, title, &OVER_API, &mut beds, TestBed::publish_as_agent)
}

/// Measures each kind in all rounds, and prints the table.
#[expect(clippy::cast_precision_loss, reason = "a number of events")]
fn measure(
    run: &mut Run,
    title: String,
    kinds: &[Kind],
    beds: &mut Vec<TestBed>,
    publish: fn(&mut TestBed, &Workload, usize) -> anyhow::Result<Measurement>,
) -> anyhow::Result<()> {
    for _ in 0..run.rounds {
        for &Kind { name, events, requests: count, in_flight } in kinds {
            let topics = (0, in_flight);
            let workload = Workload { count, per_second: None, in_flight, topics, limit: LIMIT };
            run.measure(
                name,
                1,
                beds,
                |bed| publish(bed, &workload, events),
                |results, row, measurement| {
                    let published = &measurement.published;
                    let committed = (published.acknowledged * events) as f64;
                    let rate = committed / published.publish_seconds;
                    results.add(&metric::durable(name), row, rate);
                    let p50 = published.publish_latency.p50.unwrap_or(f64::NAN);
                    let p99 = published.publish_latency.p99.unwrap_or(f64::NAN);
                    results.add(&metric::durable(&format!("{name} p50")), row, p50);
                    results.add(&metric::durable(&format!("{name} p99")), row, p99);
                },
            );
        }
    }
    let columns = kinds.iter().flat_map(|Kind { name, .. }| {
        [
            Column::new(&format!("{name}: events/s"), &metric::durable(name), Unit::Count),
            Column::new("p50", &metric::durable(&format!("{name} p50")), Unit::Millis),
            Column::new("p99", &metric::durable(&format!("{name} p99")), Unit::Millis),
        ]
    });
    let columns = columns.collect();
    // A row without results is left out of the table.
    let rows = [0, POSTGRES].map(|variant| VARIANTS[variant].name.to_owned()).to_vec();
    run.show(Section { title, columns, rows, notes: Vec::new() })
}
