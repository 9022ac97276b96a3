//! What a delivery costs as subscribers become more.

use super::{Run, Scenario, crowd};
use crate::{
    server::Peer,
    table::{Column, Section, Unit},
};

/// Sizes below the largest, which is a parameter.
const SIZES: [usize; 3] = [100, 1_000, 10_000];
const SECONDS: f64 = 3.0;
/// The dearest size's cost divided by the cheapest's.
pub(crate) const SPREAD: &str = "growth: spread";
/// The same of the costs as multiples of the floor's, whose own grow with the kernel's sockets as
/// they fall out of the processor's caches.
pub(crate) const RELATIVE: &str = "growth: spread to floor";

fn cpu(size: usize) -> String {
    format!("growth to {size}: cpu")
}

impl Run {
    pub(super) fn growth(&mut self) -> anyhow::Result<()> {
        if !self.wants(Scenario::Growth) {
            return Ok(());
        }
        let ours = |peer: &Peer| peer.is_ours() || *peer == Peer::Floor;
        let peers: Vec<Peer> = self.peers.iter().copied().filter(ours).collect();
        let mut sizes: Vec<usize> = SIZES.into_iter().filter(|size| *size < self.most).collect();
        sizes.push(self.most);
        let mut stands = self.stands(&peers);
        for (topic, size) in sizes.iter().copied().enumerate() {
            // A topic of its own for each size: what was not committed cannot be read again by
            // those who come later.
            self.fill(&mut stands, size, (topic, 1));
            let pace = crowd::pace(size, topic, SECONDS);
            self.rounds(
                &format!("growth at {size}"),
                self.rounds,
                &mut stands,
                |stand| stand.publish(&pace),
                |findings, row, round| findings.add(&cpu(size), row, round.cpu_per_delivery()),
            );
        }
        for row in self.names() {
            let costs = sizes.iter().map(|size| self.findings.median(&cpu(*size), &row));
            let spread = dearest_to_cheapest(costs);
            let to_floor = |size: &usize| {
                let ratio = self.findings.ratio(&cpu(*size), &row, Peer::Floor.name());
                ratio.map(|ratio| ratio.median)
            };
            let relative = dearest_to_cheapest(sizes.iter().map(to_floor));
            if let (Some(spread), Some(relative)) = (spread, relative) {
                self.findings.add(SPREAD, &row, spread);
                self.findings.add(RELATIVE, &row, relative);
            }
        }
        let mut columns: Vec<Column> = sizes
            .iter()
            .map(|size| Column::new(&format!("{size}"), &cpu(*size), Unit::Micros))
            .collect();
        columns.push(Column::new("dearest to cheapest", SPREAD, Unit::Times));
        columns.push(Column::new("the same to floor", RELATIVE, Unit::Times));
        let floor = Peer::Floor.name();
        columns.extend(
            sizes.iter().map(|size| Column::ratio(&format!("{size} to floor"), &cpu(*size), floor)),
        );
        self.show(Section {
            title: "growth: CPU per delivery by number of subscribers, paced".to_owned(),
            columns,
            rows: self.names(),
            notes: Vec::new(),
        })
    }
}

/// None unless every size was measured.
fn dearest_to_cheapest(costs: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let costs: Vec<f64> = costs.collect::<Option<_>>()?;
    let dearest = costs.iter().copied().fold(f64::MIN, f64::max);
    Some(dearest / costs.iter().copied().fold(f64::MAX, f64::min))
}
