//! Compares the delivery of events by streamgate with that of other servers: a bare `write()` per
//! delivery (the floor), Nchan, Pushpin, and poem's SSE. See `benches/README.md`.
//!
//! This program starts itself again as each server that is not a Debian package. These servers run on one core. It also
//! starts itself as the load generator, on another core.

mod api_load;
mod broadcast;
mod child;
mod disk;
mod event;
mod floor;
mod load_generator;
mod measurement;
mod peer;
mod process;
mod readme;
mod results;
mod scenario;
mod streamgate;
mod table;
mod target;
mod test_bed;
mod workload;

use std::{
    io::{Write, stdout},
    path::PathBuf,
};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};

use self::{
    floor::Role,
    peer::Peer,
    scenario::{Run, Scenario},
};

/// Descriptors of a process that are not for streams.
const SPARE_DESCRIPTORS: u64 = 300;

/// Compares the delivery of events by streamgate with that of other servers
#[derive(Parser)]
struct Arguments {
    /// Run only these scenarios, and leave the README as it is
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Number of rounds; a round measures every server
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Largest number of subscribers; one process needs as many descriptors
    #[arg(long, default_value_t = 18_000, value_parser = clap::value_parser!(u32).range(200..=1_000_000))]
    max_subscribers: u32,
    /// Measure only the servers whose names begin with one of these texts, and leave the README as it is
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Leave the README as it is
    #[arg(long)]
    no_readme: bool,
    /// Run as one of the programs that the benchmark starts
    #[arg(long, hide = true)]
    mode: Option<Mode>,
    /// Index of the configuration of streamgate
    #[arg(long, hide = true, default_value_t = 0)]
    variant: usize,
    /// Data directory of streamgate
    #[arg(long, hide = true)]
    directory: Option<PathBuf>,
    /// Ignored; cargo passes it to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// The programs that this executable contains.
#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// streamgate
    Streamgate,
    /// poem's SSE over tokio's broadcast
    Broadcast,
    /// A bare `write()` per delivery
    Floor,
    /// The server behind Pushpin
    Origin,
    /// The load generator
    LoadGenerator,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // The programs that this one starts inherit the limit.
    let descriptors = rlimit::increase_nofile_limit(u64::MAX)?;
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match arguments.mode {
        None => measure(arguments, descriptors),
        Some(Mode::Streamgate) => {
            let directory = arguments.directory.context("--directory is missing")?;
            runtime()?.block_on(streamgate::serve(&directory, arguments.variant))
        }
        Some(Mode::Broadcast) => runtime()?.block_on(broadcast::run()),
        Some(Mode::Floor) => floor::run(Role::Floor),
        Some(Mode::Origin) => floor::run(Role::Origin),
        Some(Mode::LoadGenerator) => load_generator::run(),
    }
}

fn measure(arguments: Arguments, descriptors: u64) -> anyhow::Result<()> {
    let needed = u64::from(arguments.max_subscribers) + SPARE_DESCRIPTORS;
    ensure!(
        descriptors >= needed,
        "one process needs {needed} descriptors and {descriptors} are allowed: raise \
         `ulimit -Hn`, or lower --max-subscribers"
    );
    let is_complete = arguments.only.is_empty() && arguments.peers.is_empty();
    writeln!(stdout(), "{}", readme::environment()?)?;
    let rounds = usize::try_from(arguments.rounds)?;
    let max_subscribers = usize::try_from(arguments.max_subscribers)?;
    let mut peers = Peer::all();
    if !arguments.peers.is_empty() {
        peers.retain(|peer| arguments.peers.iter().any(|name| peer.name().starts_with(name)));
    }
    let mut run = Run::new(rounds, max_subscribers, arguments.only, peers);
    scenario::run_all(&mut run)?;
    let mut text = String::from("\ntargets\n");
    table::align(&mut text, &target::lines(&run.results));
    write!(stdout(), "{text}")?;
    if is_complete && !arguments.no_readme {
        readme::write(&run)?;
        writeln!(stdout(), "\nresults written into benches/README.md")?;
    }
    Ok(())
}
