//! Measures the gain of a second reactor: the time until one event was written to the sockets of all subscribers of a
//! topic. The server runs on all cores, and the load generator does not read during a measurement.

use super::{
    metric,
    run::{Run, Scenario},
};
use crate::{
    peer::Peer,
    streamgate::REACTORS,
    table::{Column, Section, Unit},
};

/// Number of subscribers.
const SUBSCRIBERS: usize = 8_000;
/// Number of deliveries per round. One takes less than 0.1 s.
const PER_ROUND: usize = 10;

pub(super) fn cores(run: &mut Run) -> anyhow::Result<()> {
    if !run.includes(Scenario::Cores) {
        return Ok(());
    }
    let peers = REACTORS.map(Peer::Streamgate);
    let rows: Vec<String> = peers.iter().map(|peer| peer.name().to_owned()).collect();
    let mut beds = run.start(&peers);
    let count = SUBSCRIBERS.min(run.max_subscribers);
    run.open_streams(&mut beds, count, (0, 1));
    for _ in 0..PER_ROUND * run.rounds {
        let mut times = Vec::new();
        run.for_each(&mut beds, |bed| {
            times.push((bed.peer.name(), bed.deliver_once()?.as_secs_f64()));
            Ok(())
        });
        for (row, seconds) in times {
            run.results.add(metric::CORES, row, seconds);
        }
    }
    run.show(Section {
        title: format!("cores: one event to {count} subscribers of one topic, on all cores"),
        columns: vec![
            Column::new("until all were written to", metric::CORES, Unit::Millis),
            Column::ratio("ratio to one reactor", metric::CORES, &rows[0]),
        ],
        rows,
        notes: Vec::new(),
    })
}
