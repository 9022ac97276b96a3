//! One topic with many subscribers: memory while no events are published, then events at a fixed rate,
//! then bursts.

use super::{
    metric,
    run::{Run, Scenario},
};
use crate::{
    peer::Peer,
    table::{Column, Section, Unit},
    test_bed::TestBed,
    workload::{DELIVERIES_PER_SECOND, LIMIT, Workload},
};

/// Number of paced measurements per round. One is not enough, because the servers differ by only a few percent.
const PACED_PER_ROUND: usize = 2;
/// Length of a paced measurement.
const SECONDS: f64 = 3.0;
/// Number of events of a burst with at most 1,000 subscribers.
const BURST: usize = 200;
/// Number of events of a burst with more subscribers.
const LARGE_BURST: usize = 100;

pub(super) fn one_topic(run: &mut Run, size: usize) -> anyhow::Result<()> {
    let included = [Scenario::Idle, Scenario::Paced, Scenario::Burst].map(|it| run.includes(it));
    let [idle, paced, burst] = included;
    if !included.contains(&true) {
        return Ok(());
    }
    let mut beds = run.start(&run.peers.clone());
    run.open_streams(&mut beds, size, (0, 1));
    let mut memory = Vec::new();
    run.for_each(&mut beds, |bed| {
        memory.push((bed.peer.name(), bed.memory_per_stream()?));
        Ok(())
    });
    for (row, memory) in memory {
        run.results.add(&metric::idle(size), row, memory);
    }
    if idle {
        run.show(Section {
            title: format!("idle: server memory per stream (PSS) with {size} streams"),
            columns: vec![Column::new("memory", &metric::idle(size), Unit::Kib)],
            rows: run.rows(),
            notes: Vec::new(),
        })?;
    }
    if paced {
        measure_paced(run, size, &mut beds)?;
    }
    if burst {
        measure_burst(run, size, &mut beds)?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a number of subscribers")]
fn measure_paced(run: &mut Run, size: usize, beds: &mut Vec<TestBed>) -> anyhow::Result<()> {
    let workload = Workload::paced(size, 0, SECONDS);
    let name = |quantity: &str| metric::paced(size, quantity);
    run.measure(
        "paced",
        PACED_PER_ROUND * run.rounds,
        beds,
        |bed| bed.publish(&workload),
        |results, row, measurement| {
            results.add(&name("cpu"), row, measurement.cpu_per_delivery());
            let latency = measurement.published.latency;
            results.add(&name("p50"), row, latency.p50.unwrap_or(f64::NAN));
            results.add(&name("p99"), row, latency.p99.unwrap_or(f64::NAN));
        },
    );
    let rate = DELIVERIES_PER_SECOND / size as f64;
    run.show(Section {
        title: format!("paced: {rate} events per second to {size} subscribers"),
        columns: vec![
            Column::new("CPU per delivery", &name("cpu"), Unit::Micros),
            Column::ratio("ratio to floor", &name("cpu"), Peer::Floor.name()),
            Column::ratio("ratio to Nchan", &name("cpu"), Peer::Nchan.name()),
            Column::new("p50", &name("p50"), Unit::Millis),
            Column::new("p99", &name("p99"), Unit::Millis),
        ],
        rows: run.rows(),
        notes: Vec::new(),
    })
}

fn measure_burst(run: &mut Run, size: usize, beds: &mut Vec<TestBed>) -> anyhow::Result<()> {
    let count = if size > 1_000 { LARGE_BURST } else { BURST };
    let workload = Workload { count, per_second: None, in_flight: 1, topics: (0, 1), limit: LIMIT };
    let name = |quantity: &str| metric::burst(size, quantity);
    run.measure(
        "burst",
        run.rounds,
        beds,
        |bed| bed.publish(&workload),
        |results, row, measurement| {
            results.add(&name("rate"), row, measurement.deliveries_per_second());
            results.add(&name("cpu"), row, measurement.cpu_per_delivery());
            let latency = measurement.published.latency;
            results.add(&name("p50"), row, latency.p50.unwrap_or(f64::NAN));
        },
    );
    for bed in beds {
        match bed.memory_per_stream() {
            Ok(memory) => run.results.add(&name("memory after"), bed.peer.name(), memory),
            Err(error) => run.note(format!("{}: {error:#}", bed.peer.name())),
        }
    }
    run.show(Section {
        title: format!(
            "burst: {count} events to {size} subscribers, each published after the one before was \
             acknowledged"
        ),
        columns: vec![
            Column::new("deliveries/s", &name("rate"), Unit::Count),
            Column::ratio("ratio to floor", &name("rate"), Peer::Floor.name()),
            Column::ratio("ratio to Nchan", &name("rate"), Peer::Nchan.name()),
            Column::new("CPU per delivery", &name("cpu"), Unit::Micros),
            Column::new("p50", &name("p50"), Unit::Millis),
            Column::new("idle memory", &metric::idle(size), Unit::Kib),
            Column::new("memory after", &name("memory after"), Unit::Kib),
        ],
        rows: run.rows(),
        notes: Vec::new(),
    })
}
