//! Many topics with one subscriber each: the cost of an event that is delivered once.

use std::time::Duration;

use super::{
    metric,
    run::{Run, Scenario},
};
use crate::{
    peer::Peer,
    streamgate::TOPICS,
    table::{Column, Section, Unit},
    workload::Workload,
};

const EVENTS_PER_SECOND: f64 = 2_000.0;
/// Events of one measurement, which takes three seconds.
const EVENTS: usize = 6_000;

pub(super) fn one_to_one(run: &mut Run) -> anyhow::Result<()> {
    if !run.includes(Scenario::OneToOne) {
        return Ok(());
    }
    let topics = TOPICS.min(run.max_subscribers);
    let mut beds = run.start(&run.peers.clone());
    run.open_streams(&mut beds, topics, (0, topics));
    let workload = Workload {
        count: EVENTS,
        per_second: Some(EVENTS_PER_SECOND),
        in_flight: 64,
        topics: (0, topics),
        limit: Duration::from_secs(20),
    };
    run.measure(
        "one-to-one",
        run.rounds,
        &mut beds,
        |bed| bed.publish(&workload),
        |results, row, measurement| {
            results.add(&metric::one_to_one("cpu"), row, measurement.cpu_per_delivery());
            let latency = measurement.published.latency;
            results.add(&metric::one_to_one("p50"), row, latency.p50.unwrap_or(f64::NAN));
            results.add(&metric::one_to_one("p99"), row, latency.p99.unwrap_or(f64::NAN));
        },
    );
    run.show(Section {
        title: format!(
            "one-to-one: {topics} topics with one subscriber each, {EVENTS_PER_SECOND} events per \
             second"
        ),
        columns: vec![
            Column::new("p50", &metric::one_to_one("p50"), Unit::Micros),
            Column::ratio("ratio to floor", &metric::one_to_one("p50"), Peer::Floor.name()),
            Column::ratio("ratio to Nchan", &metric::one_to_one("p50"), Peer::Nchan.name()),
            Column::new("p99", &metric::one_to_one("p99"), Unit::Micros),
            Column::new("CPU per delivery", &metric::one_to_one("cpu"), Unit::Micros),
        ],
        rows: run.rows(),
        notes: vec!["CPU includes that of the publish request".to_owned()],
    })
}
