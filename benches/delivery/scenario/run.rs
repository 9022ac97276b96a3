//! A run of the benchmark: the servers, streams, rounds and tables that its scenarios share.

use std::{
    io::{Write, stdout},
    time::{Duration, Instant},
};

use clap::ValueEnum;
use rand::seq::SliceRandom;

use crate::{
    measurement::Measurement, peer::Peer, results::Results, table::Section, test_bed::TestBed,
};

/// No round starts after this time, so that a run takes 12 minutes at most.
const LAST_START: Duration = Duration::from_mins(11);
/// If the load generator was busy for more than this share of the time, it may have limited the result.
const SATURATED: f64 = 0.9;

/// The scenarios, with the names that `--only` takes. clap prints these comments with `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Events at a fixed rate to 1,000 and to 10,000 subscribers of one topic
    Paced,
    /// Events as fast as they are acknowledged, to 1,000 and to 10,000 subscribers
    Burst,
    /// Memory per idle stream
    Idle,
    /// 1,000 topics with one subscriber each
    OneToOne,
    /// Streams opened per second
    Connect,
    /// Latencies of session validation, look-up and refresh with 1,000 open streams
    Auth,
    /// CPU per delivery by number of subscribers
    Growth,
    /// More deliveries than one core can do
    Overload,
    /// Committed events per second
    Durable,
    /// One event to 8,000 subscribers, with one and with two reactors
    Cores,
}

/// A run of the benchmark.
pub(crate) struct Run {
    pub(crate) rounds: usize,
    pub(crate) max_subscribers: usize,
    pub(crate) only: Vec<Scenario>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) results: Results,
    pub(crate) sections: Vec<Section>,
    notes: Vec<String>,
    began: Instant,
}

impl Run {
    pub(crate) fn new(
        rounds: usize,
        max_subscribers: usize,
        only: Vec<Scenario>,
        peers: Vec<Peer>,
    ) -> Self {
        let (results, sections, notes) = (Results::default(), Vec::new(), Vec::new());
        Self {
            rounds,
            max_subscribers,
            only,
            peers,
            results,
            sections,
            notes,
            began: Instant::now(),
        }
    }

    /// Whether this scenario was selected.
    pub(super) fn includes(&self, scenario: Scenario) -> bool {
        self.only.is_empty() || self.only.contains(&scenario)
    }

    /// Starts a test bed for each server. A server that does not start is left out, with a note.
    pub(super) fn start(&mut self, peers: &[Peer]) -> Vec<TestBed> {
        let mut beds = Vec::new();
        for peer in peers {
            if self.is_late() {
                break;
            }
            match TestBed::start(*peer) {
                Ok(bed) => beds.push(bed),
                Err(error) => self.note(format!("{}: {error:#}", peer.name())),
            }
        }
        beds
    }

    /// Opens `count` streams over these topics on each server, and closes all others.
    pub(super) fn open_streams(
        &mut self,
        beds: &mut Vec<TestBed>,
        count: usize,
        topics: (usize, usize),
    ) {
        self.for_each(beds, |bed| bed.request_streams(count, topics));
        while !beds.iter().all(TestBed::has_all_streams) {
            beds.shuffle(&mut rand::rng());
            self.for_each(
                beds,
                |bed| if bed.has_all_streams() { Ok(()) } else { bed.open_batch() },
            );
        }
    }

    /// Calls `action` with each test bed. A test bed that fails is left out from then on, with a note.
    pub(super) fn for_each(
        &mut self,
        beds: &mut Vec<TestBed>,
        mut action: impl FnMut(&mut TestBed) -> anyhow::Result<()>,
    ) {
        beds.retain_mut(|bed| {
            let done = action(bed);
            if let Err(error) = &done {
                self.note(format!("{}: {error:#}", bed.peer.name()));
            }
            done.is_ok()
        });
    }

    /// Measures all servers in shuffled order, `rounds` times. A server that has closed streams is left
    /// out of the following rounds.
    pub(super) fn measure(
        &mut self,
        name: &str,
        rounds: usize,
        beds: &mut Vec<TestBed>,
        mut measure: impl FnMut(&mut TestBed) -> anyhow::Result<Measurement>,
        mut record: impl FnMut(&mut Results, &str, &Measurement),
    ) {
        for _ in 0..rounds {
            beds.shuffle(&mut rand::rng());
            let mut kept = Vec::new();
            for mut bed in beds.drain(..) {
                if self.is_late() {
                    kept.push(bed);
                    continue;
                }
                let row = bed.peer.name();
                match measure(&mut bed) {
                    Ok(measurement) => {
                        let published = &measurement.published;
                        let is_over = published.ended > 0 || published.error.is_some();
                        if let Some(problem) = measurement.problem() {
                            self.note(format!("{row}, {name}: {problem}"));
                        }
                        self.note_if_saturated(&format!("{row}, {name}"), published.busy);
                        record(&mut self.results, row, &measurement);
                        if !is_over {
                            kept.push(bed);
                        }
                    }
                    Err(error) => self.note(format!("{row}, {name}: {error:#}")),
                }
            }
            *beds = kept;
        }
    }

    /// Adds a note to the next table.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Adds a note if the load generator may have limited the result.
    pub(super) fn note_if_saturated(&mut self, name: &str, busy: f64) {
        if busy > SATURATED {
            let busy = busy * 100.0;
            self.note(format!(
                "{name}: the load generator was busy for {busy:.0} % of the time, so the server may \
                 be faster than shown"
            ));
        }
    }

    /// Whether the time limit is reached. No round starts after that.
    pub(super) fn is_late(&mut self) -> bool {
        let is_late = self.began.elapsed() > LAST_START;
        let note = "some rounds were skipped because the time limit was reached";
        if is_late && !self.notes.iter().any(|existing| existing == note) {
            self.note(note.to_owned());
        }
        is_late
    }

    /// Prints a table with the notes so far, and keeps it for the README.
    pub(super) fn show(&mut self, mut section: Section) -> anyhow::Result<()> {
        section.notes.extend(without_repetition(std::mem::take(&mut self.notes)));
        write!(stdout(), "{}", section.text(&self.results))?;
        stdout().flush()?;
        self.sections.push(section);
        Ok(())
    }

    /// The names of all servers, which are the rows of most tables.
    pub(super) fn rows(&self) -> Vec<String> {
        self.peers.iter().map(|peer| peer.name().to_owned()).collect()
    }
}

/// Removes notes that differ from an earlier one only in their numbers.
fn without_repetition(notes: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for note in notes {
        let shape = |note: &str| note.replace(|letter: char| letter.is_ascii_digit(), "");
        if !kept.iter().any(|other| shape(other) == shape(&note)) {
            kept.push(note);
        }
    }
    kept
}
