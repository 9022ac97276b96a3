//! Delivery beside its peers: the same work on streamgate, on a floor of one `write()` for each
//! delivery, on Nchan, on Pushpin and on the plain way, in one session. See `benches/README.md`.
//!
//! This program is all of them but the packages: it starts itself again as each server, on one
//! core, and as the load, on another.

mod client;
mod event;
mod findings;
mod floor;
mod packages;
mod plain;
mod process;
mod readme;
mod scenario;
mod serve;
mod server;
mod stand;
mod table;
mod target;

use std::{
    io::{Write, stdout},
    path::PathBuf,
};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};

use self::{
    floor::Role,
    scenario::{Run, Scenario},
    server::Peer,
};

/// Descriptors of one process besides its streams.
const SPARE: u64 = 300;

/// Measures delivery beside its peers.
#[derive(Parser)]
struct Arguments {
    /// Only these scenarios; nothing is written into the README then
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Rounds of each server in each scenario
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Most subscribers at the same time; needs as many descriptors in one process
    #[arg(long, default_value_t = 18_000, value_parser = clap::value_parser!(u32).range(200..=1_000_000))]
    most: u32,
    /// Only these servers, by the beginning of their names in the tables; nothing is written then
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Leave the README as it is
    #[arg(long)]
    no_readme: bool,
    /// Be one of the programs that the benchmark starts
    #[arg(long, hide = true)]
    mode: Option<Mode>,
    /// Which of the ways to set streamgate up
    #[arg(long, hide = true, default_value_t = 0)]
    variant: usize,
    /// Where streamgate keeps its data
    #[arg(long, hide = true)]
    directory: Option<PathBuf>,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What this program can be.
#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// streamgate
    Serve,
    /// The plain way
    Plain,
    /// The floor
    Floor,
    /// The server behind Pushpin
    Origin,
    /// The load
    Client,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // The programs started below inherit it.
    let descriptors = rlimit::increase_nofile_limit(u64::MAX)?;
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match arguments.mode {
        None => measure(arguments, descriptors),
        Some(Mode::Serve) => {
            let directory = arguments.directory.context("--directory is missing")?;
            runtime()?.block_on(serve::run(&directory, arguments.variant))
        }
        Some(Mode::Plain) => runtime()?.block_on(plain::run()),
        Some(Mode::Floor) => floor::run(Role::Floor),
        Some(Mode::Origin) => floor::run(Role::Origin),
        Some(Mode::Client) => client::run(),
    }
}

fn measure(arguments: Arguments, descriptors: u64) -> anyhow::Result<()> {
    let needed = u64::from(arguments.most) + SPARE;
    ensure!(
        descriptors >= needed,
        "{needed} descriptors are needed in one process and {descriptors} are allowed: raise \
         `ulimit -Hn`, or say less with --most"
    );
    let is_whole = arguments.only.is_empty() && arguments.peers.is_empty();
    writeln!(stdout(), "{}", readme::circumstances()?)?;
    let (rounds, most) = (usize::try_from(arguments.rounds)?, usize::try_from(arguments.most)?);
    let mut peers = Peer::all();
    if !arguments.peers.is_empty() {
        peers.retain(|peer| arguments.peers.iter().any(|name| peer.name().starts_with(name)));
    }
    let mut run = Run::new(rounds, most, arguments.only, peers);
    run.all()?;
    let mut text = String::from("\ntargets\n");
    table::align(&mut text, &target::lines(&run.findings));
    write!(stdout(), "{text}")?;
    if is_whole && !arguments.no_readme {
        readme::write(&run)?;
        writeln!(stdout(), "\nwritten into benches/README.md")?;
    }
    Ok(())
}
