//! More deliveries than one core can do one by one: the lag and the memory of each server.

use std::time::Duration;

use super::{
    metric::{self, KEPT_UP, SUBSCRIBERS},
    run::{Run, Scenario},
};
use crate::{
    peer::Peer,
    table::{Column, Section, Unit},
    workload::Workload,
};

const DELIVERIES_PER_SECOND: f64 = 250_000.0;
const SECONDS: f64 = 4.0;

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small positive numbers"
)]
pub(super) fn overload(run: &mut Run) -> anyhow::Result<()> {
    if !run.includes(Scenario::Overload) {
        return Ok(());
    }
    let size = SUBSCRIBERS.min(run.max_subscribers);
    let rate = DELIVERIES_PER_SECOND / size as f64;
    // Pushpin closes streams at a fifth of this rate.
    let peers: Vec<Peer> =
        run.peers.iter().copied().filter(|peer| *peer != Peer::Pushpin).collect();
    let workload = Workload {
        count: (rate * SECONDS) as usize,
        per_second: Some(rate),
        in_flight: 64,
        topics: (0, 1),
        limit: Duration::from_secs(40),
    };
    // There is one round, because a round takes as long as the slowest server needs. One is enough, because the
    // differences are seconds and not percents. The servers run one after the other, because together they would need
    // too much memory.
    for peer in peers {
        let mut beds = run.start(&[peer]);
        run.open_streams(&mut beds, size, (0, 1));
        run.measure(
            "overload",
            1,
            &mut beds,
            |bed| bed.publish(&workload),
            |results, row, measurement| {
                let published = &measurement.published;
                let mut add =
                    |quantity, value| results.add(&metric::overload(quantity), row, value);
                add("rate", measurement.deliveries_per_second());
                // A server that has lost events has not kept up, even if the other events arrived early.
                let is_complete = published.delivered >= published.expected;
                add("lag", if is_complete { published.lag } else { f64::NAN });
                add("memory growth", measurement.memory_growth);
                add("publish p50", published.publish_latency.p50.unwrap_or(f64::NAN));
                add("publish p99", published.publish_latency.p99.unwrap_or(f64::NAN));
                add("latency p50", published.latency.p50.unwrap_or(f64::NAN));
            },
        );
    }
    run.show(Section {
        title: format!(
            "overload: {rate} events per second to {size} subscribers for {SECONDS} s, server on \
             one core"
        ),
        columns: vec![
            Column::new("deliveries/s", &metric::overload("rate"), Unit::Count),
            Column::new("lag at the end", &metric::overload("lag"), Unit::Seconds),
            Column::new("latency p50", &metric::overload("latency p50"), Unit::Millis),
            Column::new("memory growth", &metric::overload("memory growth"), Unit::Mib),
            Column::new("publish latency p50", &metric::overload("publish p50"), Unit::Millis),
            Column::new("publish latency p99", &metric::overload("publish p99"), Unit::Millis),
        ],
        rows: run.rows(),
        notes: vec![
            format!("a server keeps up if its lag at the end is at most {KEPT_UP} s"),
            "publish latency: time from the moment at which an event is due to its acknowledgement"
                .to_owned(),
            "memory is that of the server's processes (RSS), without the kernel's socket buffers"
                .to_owned(),
        ],
    })
}
