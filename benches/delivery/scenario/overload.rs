//! More than one core can deliver one by one: who keeps up, and what gives way.

use std::time::Duration;

use super::{CROWD, KEPT_UP, Run, Scenario, metric::overload};
use crate::{
    server::Peer,
    stand::Pace,
    table::{Column, Section, Unit},
};

const DELIVERIES_PER_SECOND: f64 = 250_000.0;
const SECONDS: f64 = 4.0;

impl Run {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small positive numbers"
    )]
    pub(super) fn overload(&mut self) -> anyhow::Result<()> {
        if !self.wants(Scenario::Overload) {
            return Ok(());
        }
        let size = CROWD.min(self.most);
        let rate = DELIVERIES_PER_SECOND / size as f64;
        // Pushpin's streams do not survive a fifth of this.
        let peers: Vec<Peer> =
            self.peers.iter().copied().filter(|peer| *peer != Peer::Pushpin).collect();
        let pace = Pace {
            count: (rate * SECONDS) as usize,
            per_second: Some(rate),
            in_flight: 64,
            topics: (0, 1),
            limit: Duration::from_secs(40),
        };
        // One round: it takes as long as the slowest needs, and is about seconds rather than
        // percents. The servers one after the other, because of their memory.
        for peer in peers {
            let mut stands = self.stands(&[peer]);
            self.fill(&mut stands, size, (0, 1));
            self.rounds(
                "overload",
                1,
                &mut stands,
                |stand| stand.publish(&pace),
                |findings, row, round| {
                    let published = &round.published;
                    let mut add = |what, value| findings.add(&overload(what), row, value);
                    add("rate", round.deliveries_per_second());
                    // Who has lost something has not kept up, however early the rest came.
                    let is_whole = published.arrived >= published.expected;
                    add("late", if is_whole { published.late } else { f64::NAN });
                    add("growth", round.growth);
                    add("p50", published.acknowledging.p50.unwrap_or(f64::NAN));
                    add("p99", published.acknowledging.p99.unwrap_or(f64::NAN));
                    add("latency", published.latency.p50.unwrap_or(f64::NAN));
                },
            );
        }
        self.show(Section {
            title: format!(
                "overload: {rate} events a second to {size} subscribers for {SECONDS} s, server on \
                 one core"
            ),
            columns: vec![
                Column::new("deliveries/s", &overload("rate"), Unit::Count),
                Column::new("behind at the end", &overload("late"), Unit::Seconds),
                Column::new("latency p50", &overload("latency"), Unit::Millis),
                Column::new("memory growth", &overload("growth"), Unit::Mib),
                Column::new("publishers held p50", &overload("p50"), Unit::Millis),
                Column::new("p99", &overload("p99"), Unit::Millis),
            ],
            rows: self.names(),
            notes: vec![format!(
                "no more than {KEPT_UP} s behind is kept up; publishers are held from when an \
                 event is due to its acknowledgement; memory as the server sees it (RSS), without \
                 the kernel's socket buffers"
            )],
        })
    }
}
