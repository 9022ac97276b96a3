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
const REQUESTS: usize = 10_000;

pub(super) fn auth(run: &mut Run) -> anyhow::Result<()> {
    if !run.includes(Scenario::Auth) {
        return Ok(());
    }
    let mut beds = run.start(&[Peer::Streamgate(OAUTH)]);
    let count = STREAMS.min(run.max_subscribers);
    run.open_streams(&mut beds, count, (0, STREAMS));
    let mut rows = Vec::new();
    // The gateway records since its start, so the last round has the values of all rounds.
    for _ in 0..run.rounds {
        let mut latencies = Vec::new();
        run.for_each(&mut beds, |bed| {
            latencies = bed.authenticate(REQUESTS)?;
            Ok(())
        });
        rows = latencies;
    }
    for latency in &rows {
        for (quantile, seconds) in ["p50", "p95", "p99"].into_iter().zip(latency.seconds) {
            run.results.add(&metric::auth(quantile), &latency.name, seconds);
        }
    }
    run.show(Section {
        title: format!(
            "auth: latencies with {count} open streams, {} reads and {} refreshes, 8 at a time, server on one core",
            REQUESTS * run.rounds,
            REQUESTS / 10 * run.rounds
        ),
        columns: ["p50", "p95", "p99"]
            .map(|quantile| Column::new(quantile, &metric::auth(quantile), Unit::Millis))
            .into(),
        rows: rows.into_iter().map(|latency| latency.name).collect(),
        notes: vec![
            "the client and the OAuth provider run in the process of the server, so these values are higher than in \
             operation"
                .to_owned(),
            "grant refresh is without the time of the provider".to_owned(),
        ],
    })
}
