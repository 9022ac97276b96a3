//! Streams opened per second: accept, authenticate, look up, answer.

use rand::seq::SliceRandom;

use super::{Run, Scenario, metric::CONNECTS};
use crate::{
    server::{Credential, Peer},
    stand::Stand,
    table::{Column, Section, Unit},
};

/// Streams of one round.
const STREAMS: usize = 5_000;
const CPU: &str = "connect: cpu";

/// The name of a row.
pub(crate) fn row(peer: Peer, credential: Credential) -> String {
    match (peer, credential) {
        (Peer::Streamgate(_), Credential::StreamToken) => {
            format!("{}, stream tokens", peer.name())
        }
        (Peer::Streamgate(_), Credential::Bearer) => format!("{}, access tokens", peer.name()),
        _ => format!("{}, no authentication", peer.name()),
    }
}

impl Run {
    pub(super) fn connect(&mut self) -> anyhow::Result<()> {
        if !self.wants(Scenario::Connect) {
            return Ok(());
        }
        // Pushpin's own limit is a request to an origin for each stream, which is another thing.
        let peers: Vec<Peer> =
            self.peers.iter().copied().filter(|peer| *peer != Peer::Pushpin).collect();
        let count = STREAMS.min(self.most);
        let credentials = |peer: Peer| match peer {
            Peer::Streamgate(_) => vec![Credential::StreamToken, Credential::Bearer],
            _ => vec![Credential::StreamToken],
        };
        // One round first, so that memory is there and caches are as they are in a day's work.
        let mut stands = self.stands(&peers);
        self.each(&mut stands, |stand| {
            for credential in credentials(stand.peer) {
                stand.connect(count.min(1_000), credential)?;
            }
            Ok(())
        });
        for _ in 0..self.rounds {
            stands.shuffle(&mut rand::rng());
            for stand in &mut stands {
                for credential in credentials(stand.peer) {
                    if !self.is_late() {
                        self.connect_round(stand, count, credential);
                    }
                }
            }
        }
        let rows = peers
            .iter()
            .flat_map(|peer| credentials(*peer).into_iter().map(|it| row(*peer, it)))
            .collect();
        self.show(Section {
            title: format!("connects: {count} streams, 64 at a time, server on one core"),
            columns: vec![
                Column::new("streams/s", CONNECTS, Unit::Count),
                Column::new("CPU per stream", CPU, Unit::Micros),
            ],
            rows,
            notes: vec![
                "streamgate's are read to the end of the snapshot, the others' to the end of the \
                 head"
                    .to_owned(),
            ],
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of streams")]
    fn connect_round(&mut self, stand: &mut Stand, count: usize, credential: Credential) {
        let row = row(stand.peer, credential);
        match stand.connect(count, credential) {
            Ok((opened, cpu)) => {
                self.findings.add(CONNECTS, &row, opened.streams as f64 / opened.seconds);
                self.findings.add(CPU, &row, cpu);
                if opened.busy > super::SATURATED {
                    self.notes.push(format!(
                        "{row}: the load's own core was busy for {:.0} % of the time, the server \
                         may be faster",
                        opened.busy * 100.0
                    ));
                }
            }
            Err(error) => self.notes.push(format!("{row}: {error:#}")),
        }
    }
}
