//! Streams opened per second: accept, authenticate, look up, respond.

use rand::seq::SliceRandom;

use super::{
    metric::{CONNECT_CPU, CONNECT_RATE, connect_row},
    run::{Run, Scenario},
};
use crate::{
    peer::{Credential, Peer},
    table::{Column, Section, Unit},
    test_bed::TestBed,
};

/// Streams of one round.
const STREAMS: usize = 5_000;
/// Streams of the warm-up, with each credential.
const WARM_UP: usize = 1_000;

pub(super) fn connect(run: &mut Run) -> anyhow::Result<()> {
    if !run.includes(Scenario::Connect) {
        return Ok(());
    }
    // Pushpin needs a request to an origin for each stream, so a comparison would mean nothing.
    let peers: Vec<Peer> =
        run.peers.iter().copied().filter(|peer| *peer != Peer::Pushpin).collect();
    let count = STREAMS.min(run.max_subscribers);
    let credentials = |peer: Peer| match peer {
        Peer::Streamgate(_) => vec![Credential::StreamToken, Credential::AccessToken],
        _ => vec![Credential::StreamToken],
    };
    // After the warm-up, memory is allocated and caches are filled.
    let mut beds = run.start(&peers);
    run.for_each(&mut beds, |bed| {
        for credential in credentials(bed.peer) {
            bed.connect(count.min(WARM_UP), credential)?;
        }
        Ok(())
    });
    for _ in 0..run.rounds {
        beds.shuffle(&mut rand::rng());
        for bed in &mut beds {
            for credential in credentials(bed.peer) {
                if !run.is_late() {
                    measure(run, bed, count, credential);
                }
            }
        }
    }
    let rows = peers
        .iter()
        .flat_map(|peer| credentials(*peer).into_iter().map(|it| connect_row(*peer, it)))
        .collect();
    run.show(Section {
        title: format!("connect: {count} streams, 64 at a time, server on one core"),
        columns: vec![
            Column::new("streams/s", CONNECT_RATE, Unit::Count),
            Column::new("CPU per stream", CONNECT_CPU, Unit::Micros),
        ],
        rows,
        notes: vec![
            "a stream of streamgate is read to the end of the snapshot, any other to the end of the \
             response head"
                .to_owned(),
        ],
    })
}

#[expect(clippy::cast_precision_loss, reason = "a number of streams")]
fn measure(run: &mut Run, bed: &mut TestBed, count: usize, credential: Credential) {
    let row = connect_row(bed.peer, credential);
    match bed.connect(count, credential) {
        Ok((opened, cpu)) => {
            run.results.add(CONNECT_RATE, &row, opened.streams as f64 / opened.seconds);
            run.results.add(CONNECT_CPU, &row, cpu);
            run.note_if_saturated(&row, opened.busy);
        }
        Err(error) => run.note(format!("{row}: {error:#}")),
    }
}
