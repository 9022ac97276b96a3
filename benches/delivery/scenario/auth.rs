//! Latencies of authentication while many streams are open.

use super::{
    metric,
    run::{Run, Scenario},
};
use crate::{
    peer::Peer,
    streamgate::OAUTH,
    table::{Column, Section, Unit},
};

/// Number of open streams.
const STREAMS: usize = 1_000;
/// Number of reads in each round. There are a tenth as many refreshes.
const READS: usize = 10_000;

pub(super) fn auth(run: &mut Run) -> anyhow::Result<()> {
    if !run.includes(Scenario::Auth) {
        return Ok(());
    }
    let mut beds = run.start(&[Peer::Streamgate(OAUTH)]);
    let count = STREAMS.min(run.max_subscribers);
    run.open_streams(&mut beds, count, (0, STREAMS));
    let mut names = Vec::new();
    for _ in 0..run.rounds {
        let mut latencies = Vec::new();
        run.for_each(&mut beds, |bed| {
            latencies = bed.authenticate(READS)?;
            Ok(())
        });
        for latency in &latencies {
            for (quantile, seconds) in ["p50", "p95", "p99"].into_iter().zip(latency.seconds) {
                run.results.add(&metric::auth(quantile), &latency.name, seconds);
            }
        }
        names = latencies.into_iter().map(|latency| latency.name).collect();
    }
    run.show(Section {
        title: format!(
            "auth: latencies with {count} open streams, {READS} reads at 500 and {} refreshes at 50 per second, server on one core",
            READS / 10
        ),
        columns: ["p50", "p95", "p99"]
            .map(|quantile| Column::new(quantile, &metric::auth(quantile), Unit::Millis))
            .into(),
        rows: names,
        notes: vec![
            "a session and a topology are looked up in the database again after 15 seconds, as in operation".to_owned(),
            "grant refresh is without the time of the provider".to_owned(),
            "a refresh waits for commits, so it cannot be faster than the disk".to_owned(),
        ],
    })
}
