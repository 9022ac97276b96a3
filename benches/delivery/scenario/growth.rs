//! The CPU cost of a delivery as the number of subscribers grows.

use super::{
    metric,
    run::{Run, Scenario},
};
use crate::{
    peer::Peer,
    table::{Column, Section, Unit},
    workload::Workload,
};

/// Numbers of subscribers below the largest, which is `--max-subscribers`.
const SIZES: [usize; 3] = [100, 1_000, 10_000];
/// Length of a measurement.
const SECONDS: f64 = 3.0;

pub(super) fn growth(run: &mut Run) -> anyhow::Result<()> {
    if !run.includes(Scenario::Growth) {
        return Ok(());
    }
    let is_compared = |peer: &Peer| peer.is_streamgate() || *peer == Peer::Floor;
    let peers: Vec<Peer> = run.peers.iter().copied().filter(is_compared).collect();
    let mut sizes: Vec<usize> =
        SIZES.into_iter().filter(|size| *size < run.max_subscribers).collect();
    sizes.push(run.max_subscribers);
    let mut beds = run.start(&peers);
    for (topic, size) in sizes.iter().copied().enumerate() {
        // Each size has another topic. The events are not committed, so later subscribers of the same
        // topic could not read them from the log.
        run.open_streams(&mut beds, size, (topic, 1));
        let workload = Workload::paced(size, topic, SECONDS);
        run.measure(
            &format!("growth at {size}"),
            run.rounds,
            &mut beds,
            |bed| bed.publish(&workload),
            |results, row, measurement| {
                results.add(&metric::growth(size), row, measurement.cpu_per_delivery());
            },
        );
    }
    let floor = Peer::Floor.name();
    for row in run.rows() {
        let costs = sizes.iter().map(|size| run.results.median(&metric::growth(*size), &row));
        let spread = highest_to_lowest(costs);
        let ratio_to_floor = |size: &usize| {
            let ratio = run.results.ratio(&metric::growth(*size), &row, floor);
            ratio.map(|ratio| ratio.median)
        };
        let spread_to_floor = highest_to_lowest(sizes.iter().map(ratio_to_floor));
        if let (Some(spread), Some(spread_to_floor)) = (spread, spread_to_floor) {
            run.results.add(metric::GROWTH_SPREAD, &row, spread);
            run.results.add(metric::GROWTH_SPREAD_TO_FLOOR, &row, spread_to_floor);
        }
    }
    let mut columns: Vec<Column> = sizes
        .iter()
        .map(|size| Column::new(&format!("{size}"), &metric::growth(*size), Unit::Micros))
        .collect();
    columns.push(Column::new("highest to lowest", metric::GROWTH_SPREAD, Unit::Times));
    let spread_to_floor = metric::GROWTH_SPREAD_TO_FLOOR;
    columns.push(Column::new("highest to lowest ratio to floor", spread_to_floor, Unit::Times));
    columns.extend(sizes.iter().map(|size| {
        Column::ratio(&format!("{size}, ratio to floor"), &metric::growth(*size), floor)
    }));
    run.show(Section {
        title: "growth: CPU per delivery by number of subscribers, paced".to_owned(),
        columns,
        rows: run.rows(),
        notes: Vec::new(),
    })
}

/// None unless every size was measured.
fn highest_to_lowest(costs: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let costs: Vec<f64> = costs.collect::<Option<_>>()?;
    let highest = costs.iter().copied().fold(f64::MIN, f64::max);
    Some(highest / costs.iter().copied().fold(f64::MAX, f64::min))
}
