//! What is measured. Each scenario starts its servers, runs its rounds, and leaves a table.

pub(crate) mod connect;
mod crowd;
mod durable;
pub(crate) mod growth;
mod one_to_one;
mod overload;

use std::{
    io::{Write, stdout},
    time::{Duration, Instant},
};

use clap::ValueEnum;
use rand::seq::SliceRandom;

use crate::{
    findings::Findings,
    server::Peer,
    stand::{Round, Stand},
    table::Section,
};

/// The size that most targets are about.
pub(crate) const CROWD: usize = 10_000;
/// The sizes of the crowds.
const CROWDS: [usize; 2] = [1_000, CROWD];
/// Offered where the server is not to be the limit: half of what the floor manages on one core.
const DELIVERIES_PER_SECOND: f64 = 50_000.0;
/// Not further behind than this, in seconds, is kept up.
pub(crate) const KEPT_UP: f64 = 0.5;
/// No round begins later, so that the whole takes 12 minutes at most.
const LAST_ROUND: Duration = Duration::from_mins(11);
/// Share of its time above which the load may be what was measured.
const SATURATED: f64 = 0.9;

/// The scenarios, by the name that `--only` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// So many events a second to 1,000 and to 10,000 subscribers
    Paced,
    /// Events as fast as they are acknowledged, to the same
    Burst,
    /// Memory per idle stream
    Idle,
    /// 1,000 topics with one subscriber each
    OneToOne,
    /// Streams opened per second
    Connect,
    /// CPU per delivery by number of subscribers
    Growth,
    /// More deliveries than one core can make
    Overload,
    /// Committed events per second
    Durable,
}

/// Names of metrics.
pub(crate) mod metric {
    pub(crate) const CONNECTS: &str = "connect: rate";

    pub(crate) fn paced(size: usize, what: &str) -> String {
        format!("paced to {size}: {what}")
    }
    pub(crate) fn burst(size: usize, what: &str) -> String {
        format!("burst to {size}: {what}")
    }
    pub(crate) fn idle(size: usize) -> String {
        format!("idle {size}: memory")
    }
    pub(crate) fn one_to_one(what: &str) -> String {
        format!("one to one: {what}")
    }
    pub(crate) fn overload(what: &str) -> String {
        format!("overload: {what}")
    }
    pub(crate) fn durable(what: &str) -> String {
        format!("durable: {what}")
    }
}

/// A whole run.
pub(crate) struct Run {
    pub(crate) rounds: usize,
    pub(crate) most: usize,
    pub(crate) only: Vec<Scenario>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) findings: Findings,
    pub(crate) sections: Vec<Section>,
    notes: Vec<String>,
    began: Instant,
}

impl Run {
    pub(crate) fn new(rounds: usize, most: usize, only: Vec<Scenario>, peers: Vec<Peer>) -> Self {
        let (findings, sections, notes) = (Findings::default(), Vec::new(), Vec::new());
        Self { rounds, most, only, peers, findings, sections, notes, began: Instant::now() }
    }

    /// Everything that is wanted, one after the other.
    pub(crate) fn all(&mut self) -> anyhow::Result<()> {
        let mut sizes = CROWDS.map(|size| size.min(self.most)).to_vec();
        sizes.dedup();
        for size in sizes {
            self.crowd(size)?;
        }
        self.one_to_one()?;
        self.connect()?;
        self.durable()?;
        self.growth()?;
        // Last, because it takes as long as the slowest server needs.
        self.overload()
    }

    fn wants(&self, scenario: Scenario) -> bool {
        self.only.is_empty() || self.only.contains(&scenario)
    }

    /// The peers' servers; those that do not start are left out and noted.
    fn stands(&mut self, peers: &[Peer]) -> Vec<Stand> {
        let mut stands = Vec::new();
        for peer in peers {
            if self.is_late() {
                break;
            }
            match Stand::start(*peer) {
                Ok(stand) => stands.push(stand),
                Err(error) => self.notes.push(format!("{}: {error:#}", peer.name())),
            }
        }
        stands
    }

    /// Has `count` streams open at each, over these topics, and no others.
    fn fill(&mut self, stands: &mut Vec<Stand>, count: usize, topics: (usize, usize)) {
        self.each(stands, |stand| stand.invite(count, topics));
        while !stands.iter().all(Stand::is_full) {
            stands.shuffle(&mut rand::rng());
            self.each(stands, |stand| if stand.is_full() { Ok(()) } else { stand.fill() });
        }
    }

    /// Does something with each stand; those that fail are left out from then on, and noted.
    fn each(
        &mut self,
        stands: &mut Vec<Stand>,
        mut what: impl FnMut(&mut Stand) -> anyhow::Result<()>,
    ) {
        stands.retain_mut(|stand| {
            let done = what(stand);
            if let Err(error) = &done {
                self.notes.push(format!("{}: {error:#}", stand.peer.name()));
            }
            done.is_ok()
        });
    }

    /// Rounds of all stands in shuffled order. A stand whose streams were closed is left out of the
    /// rounds that follow.
    fn rounds(
        &mut self,
        what: &str,
        rounds: usize,
        stands: &mut Vec<Stand>,
        mut play: impl FnMut(&mut Stand) -> anyhow::Result<Round>,
        mut record: impl FnMut(&mut Findings, &str, &Round),
    ) {
        for _ in 0..rounds {
            stands.shuffle(&mut rand::rng());
            let mut kept = Vec::new();
            for mut stand in stands.drain(..) {
                if self.is_late() {
                    kept.push(stand);
                    continue;
                }
                let name = stand.peer.name();
                match play(&mut stand) {
                    Ok(round) => {
                        let is_over = round.published.ended > 0 || round.published.error.is_some();
                        if let Some(trouble) = round.trouble() {
                            self.notes.push(format!("{name}, {what}: {trouble}"));
                        }
                        if round.published.busy > SATURATED {
                            let busy = round.published.busy * 100.0;
                            self.notes.push(format!(
                                "{name}, {what}: the load's own core was busy for {busy:.0} % of \
                                 the time, the server may be faster"
                            ));
                        }
                        record(&mut self.findings, name, &round);
                        if !is_over {
                            kept.push(stand);
                        }
                    }
                    Err(error) => self.notes.push(format!("{name}, {what}: {error:#}")),
                }
            }
            *stands = kept;
        }
    }

    /// Nothing new begins from now on.
    fn is_late(&mut self) -> bool {
        let is_late = self.began.elapsed() > LAST_ROUND;
        let note = "some rounds are left out because the time is over";
        if is_late && !self.notes.iter().any(|said| said == note) {
            self.notes.push(note.to_owned());
        }
        is_late
    }

    /// Shows a table, with the notes so far, and keeps it.
    fn show(&mut self, mut section: Section) -> anyhow::Result<()> {
        section.notes.extend(summed_up(std::mem::take(&mut self.notes)));
        write!(stdout(), "{}", section.text(&self.findings))?;
        stdout().flush()?;
        self.sections.push(section);
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        self.peers.iter().map(|peer| peer.name().to_owned()).collect()
    }
}

/// Each note once; a number in it may differ from round to round.
fn summed_up(notes: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for note in notes {
        let shape = |note: &str| note.replace(|letter: char| letter.is_ascii_digit(), "");
        if !kept.iter().any(|other| shape(other) == shape(&note)) {
            kept.push(note);
        }
    }
    kept
}
