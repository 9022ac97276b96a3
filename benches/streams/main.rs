//! How much the release server holds and how fast it tells, each beside the least that this machine
//! needs for the same, in the same run. See `benches/README.md`.
//!
//! Server and floor are processes of their own, so that neither's memory nor its scheduling is
//! mixed with that of the readers here.

mod floor;
mod gateway;
mod metrics;
mod process;
mod reader;
mod table;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use tokio::time::timeout;

use self::{
    floor::Floor,
    gateway::Gateway,
    metrics::{COMMIT, Histogram, LOOKUP, VALIDATION},
    process::Process,
    reader::{Audience, Round, open, open_all},
    table::{Table, kib, mib, spread, time},
};

/// Nothing here takes this long on a machine that works.
const WHOLE_RUN: Duration = Duration::from_secs(110);
/// Descriptors of this process besides the streams.
const SPARE: u64 = 300;
/// Streams opened before anything is measured: then the code is in memory and every pool is filled,
/// on both sides.
const WARM_UP: u32 = 100;
/// Calls for the look-ups of a service that has nothing else to do.
const QUIET_CALLS: u32 = 500;

/// Measures streamgate beside a floor.
#[derive(Parser)]
struct Arguments {
    /// Idle streams to hold
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    idle: u32,
    /// Streams that one publish goes to
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    readers: u32,
    /// Publishes; fewer than the 200 mutations that may be in flight, because none is ever ended
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=190))]
    rounds: u32,
    /// Be the floor (how the benchmark starts it)
    #[arg(long, hide = true)]
    floor: bool,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let descriptors = rlimit::increase_nofile_limit(u64::MAX)?;
    if arguments.floor {
        return floor::serve().await;
    }
    // Of a publish both audiences are open at once.
    let needed = u64::from(arguments.idle.max(2 * arguments.readers)) + SPARE;
    ensure!(descriptors >= needed, "{needed} descriptors are needed, {descriptors} allowed");
    timeout(WHOLE_RUN, measure(&arguments)).await.context("took too long")?
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism()?;
    let mut table = Table::begin(&format!("{cores} cores, SQLite, bench profile"))?;
    idle(arguments, &mut table).await?;
    publish(arguments, &mut table).await
}

/// What opening and holding streams came to.
struct Held {
    seconds: f64,
    cpu: f64,
    before: process::Memory,
    after: process::Memory,
}

async fn hold(process: &Process, request: &str, streams: u32) -> anyhow::Result<Held> {
    // Kept, or what they leave behind would be memory for those that are measured.
    let warm = open_all(process.address, request, WARM_UP).await?;
    let (before, cpu) = (process.memory()?, process.cpu()?);
    let began = Instant::now();
    let held = open_all(process.address, request, streams).await?;
    let seconds = began.elapsed().as_secs_f64();
    let (after, cpu) = (process.memory()?, process.cpu()? - cpu);
    drop((warm, held));
    Ok(Held { seconds, cpu, before, after })
}

async fn idle(arguments: &Arguments, table: &mut Table) -> anyhow::Result<()> {
    let streams = arguments.idle;
    let gateway = Gateway::start().await?;
    let fresh = gateway.metrics().await?;
    gateway.read_topology(QUIET_CALLS).await?;
    let quiet = gateway.metrics().await?;
    let ours = hold(&gateway.process, &gateway.stream_request(), streams).await?;
    let busy = gateway.metrics().await?;
    gateway.process.stop().await?;
    let floor = Floor::start().await?;
    let bare = hold(&floor.process, Floor::STREAM_REQUEST, streams).await?;
    floor.process.stop().await?;

    table.section(&format!("{streams} idle streams"))?;
    let rate = |held: &Held| f64::from(streams) / held.seconds;
    let cpu = |held: &Held| held.cpu / f64::from(streams);
    let pss = |held: &Held| (held.after.pss - held.before.pss) / f64::from(streams);
    table.against("open all, each to its snapshot", time, ours.seconds, bare.seconds)?;
    table.row("streams opened per second", |v| format!("{v:.0}"), rate(&ours), rate(&bare))?;
    table.against("server's CPU per stream opened", time, cpu(&ours), cpu(&bare))?;
    table.row("PSS before", mib, ours.before.pss, bare.before.pss)?;
    table.row("PSS holding them", mib, ours.after.pss, bare.after.pss)?;
    table.against("PSS per stream", kib, pss(&ours), pss(&bare))?;
    table.row("peak memory before (VmHWM)", mib, ours.before.peak, bare.before.peak)?;
    table.row("peak memory after (VmHWM)", mib, ours.after.peak, bare.after.peak)?;

    table.latencies()?;
    for (name, metric) in [("session validation", VALIDATION), ("topology look-up", LOOKUP)] {
        let [fresh, quiet, busy] = [&fresh, &quiet, &busy].map(|text| Histogram::of(text, metric));
        table.latency(&format!("{name}, one caller"), &quiet.since(&fresh))?;
        table.latency(&format!("{name}, while opening"), &busy.since(&quiet))?;
    }
    Ok(())
}

async fn publish(arguments: &Arguments, table: &mut Table) -> anyhow::Result<()> {
    let readers = arguments.readers;
    // New processes: a peak of memory is for life.
    let (gateway, floor) = (Gateway::start().await?, Floor::start().await?);
    let mut witness = open(gateway.process.address, &gateway.stream_request()).await?;
    gateway.publish().send().await?.error_for_status()?;
    // As it comes, with hyper's chunk around it: the floor is to write the very same bytes.
    let frame = witness.block(reader::PUBLISHED).await?;
    drop(witness);
    let crowd = open_all(gateway.process.address, &gateway.stream_request(), readers).await?;
    let mut ours = Audience::seat(crowd);
    let crowd = open_all(floor.process.address, Floor::STREAM_REQUEST, readers).await?;
    let mut bare = Audience::seat(crowd);
    // The first one warms up.
    ours.round(gateway.publish()).await?;
    bare.round(floor.publish(&frame)).await?;
    let before = (gateway.process.cpu()?, floor.process.cpu()?);
    let (mut our_rounds, mut bare_rounds) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        our_rounds.push(ours.round(gateway.publish()).await?);
        bare_rounds.push(bare.round(floor.publish(&frame)).await?);
    }
    let after = (gateway.process.cpu()?, floor.process.cpu()?);
    let text = gateway.metrics().await?;
    let (our_memory, bare_memory) = (gateway.process.memory()?, floor.process.memory()?);
    gateway.process.stop().await?;
    floor.process.stop().await?;

    let compare = |part: fn(&Round) -> Duration| {
        [&our_rounds, &bare_rounds].map(|rounds| spread(rounds.iter().map(part)))
    };
    let [ours, bare] = compare(|round| round.last);
    table.section(&format!("one publish to {readers} streams, {} rounds", arguments.rounds))?;
    table.against("request to last reader, median", time, ours.median, bare.median)?;
    table.against("request to last reader, p99", time, ours.p99, bare.p99)?;
    table.against("request to last reader, worst", time, ours.worst, bare.worst)?;
    let [ours, bare] = compare(|round| round.first);
    table.against("request to first reader, median", time, ours.median, bare.median)?;
    let [ours, bare] = compare(|round| round.last.saturating_sub(round.first));
    table.against("first to last reader, median", time, ours.median, bare.median)?;
    let deliveries = f64::from(arguments.rounds) * f64::from(readers);
    let (ours, bare) = ((after.0 - before.0) / deliveries, (after.1 - before.1) / deliveries);
    table.against("server's CPU per delivery", time, ours, bare)?;
    table.row("peak memory (VmHWM)", mib, our_memory.peak, bare_memory.peak)?;
    table.latencies()?;
    table.latency("commit", &Histogram::of(&text, COMMIT))
}
