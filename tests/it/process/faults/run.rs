//! Causes real faults of the database repeatedly, while clients use the gateway.
//!
//! The faults are a full disk, a limit on file sizes, cut connections, and a server that becomes
//! read-only. Promises for every fault:
//!
//! - an acknowledged write is stored, at once and after a restart;
//! - a refused write is not stored;
//! - a delivered event is in the log;
//! - no response is a 500, and every refusal has the time of the next attempt.
//!
//! A full disk needs root, for `mount`. Without root, those tests print a message and do nothing.

#![expect(clippy::print_stderr, reason = "a failure needs the seed and the counts of its run")]

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::{process::Command, sync::watch, time::sleep};

use crate::{
    process::faults::{load::Load, record::Record},
    support::{
        Caller, Store,
        disk::Ballast,
        process::{ADMIN, Process, streamgate},
        until,
    },
};

/// The number of times that the fault begins and ends.
const STRIKES: u32 = 12;

/// A fault that makes writes fail until it ends.
pub trait Fault {
    /// Begins the fault. Writes fail soon afterwards.
    async fn strike(&mut self, random: &mut StdRng);
    /// Ends the fault.
    async fn heal(&mut self);
}

impl Fault for Ballast {
    async fn strike(&mut self, random: &mut StdRng) {
        self.fill_except(random.random_range(0..100_000));
    }

    async fn heal(&mut self) {
        self.remove();
    }
}

pub fn serve(store: &Store) -> Command {
    let mut command = streamgate(store, ["serve"]);
    command.env("STREAMGATE_ADMIN_PASSWORD", ADMIN);
    for limit in ["USER", "NAME", "ADDRESS"] {
        command.env(format!("STREAMGATE_LIMITS__LOGINS_PER_MINUTE_PER_{limit}"), "10000");
    }
    command.env("STREAMGATE_LIMITS__STREAM_OPENS_PER_MINUTE", "100000");
    command.env("STREAMGATE_STREAMS__HEARTBEAT_SECONDS", "1");
    // These targets are off, because they log each failed write as an error, which would be
    // thousands of lines.
    command.env("STREAMGATE_LOG__FILTER", "info,streamgate::api=off,request=off");
    command
}

/// Uses the gateway while the fault begins and ends repeatedly, then checks the database. `fault`
/// is called with the running process.
pub async fn acknowledged_is_kept<F: Fault>(store: &Store, fault: impl AsyncFnOnce(&Process) -> F) {
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let process = Process::start(&mut serve(store)).await;
    let admin = process.log_in("admin", ADMIN).await;
    let mut fault = fault(&process).await;

    let stop = watch::Sender::new(false);
    let load = Load::start(&admin, &stop, &mut random).await;
    for _ in 0..STRIKES {
        sleep(Duration::from_millis(random.random_range(20..200))).await;
        fault.strike(&mut random).await;
        sleep(Duration::from_millis(random.random_range(100..600))).await;
        fault.heal().await;
    }
    until("writes that work", async || {
        admin.get("/health/ready").await.status == 200
            && metric(&admin, "streamgate_database_writable").await > 0.5
    })
    .await;
    stop.send_replace(true);
    let record: Record = load.finish().await;
    record.assert_faults_were_met();
    record.check(&admin).await;
    let faults = metric_sum(&admin, "streamgate_database_faults_total{").await;
    assert!(faults > 0.0, "no fault was counted");

    // The process is killed, so its memory is lost.
    let mut process = process;
    process.child.kill().await.expect("a SIGKILL");
    drop(process);
    let process = Process::start(&mut serve(store)).await;
    let admin = process.log_in("admin", ADMIN).await;
    record.check(&admin).await;
    process.stop().await;
}

async fn metrics(caller: &Caller) -> String {
    let answer = caller.get("/metrics").await;
    answer.body.as_str().expect("text").to_owned()
}

pub async fn metric(caller: &Caller, name: &str) -> f64 {
    metric_sum(caller, &format!("{name} ")).await
}

/// The sum of all samples that begin like this.
async fn metric_sum(caller: &Caller, start: &str) -> f64 {
    let text = metrics(caller).await;
    let samples = text.lines().filter(|line| line.starts_with(start));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// The cause of the database's fault that `/health/ready` names, or an empty text.
pub async fn cause(caller: &Caller) -> String {
    let answer = caller.get("/health/ready").await;
    let dependencies = answer.body["dependencies"].as_array().cloned().unwrap_or_default();
    let database = dependencies.into_iter().find(|one| one["name"] == "database");
    let database = database.unwrap_or_else(|| json!({}));
    let cause = database["cause"].as_str().unwrap_or_default().to_owned();
    assert_eq!(answer.status == 503, !cause.is_empty(), "{database}");
    cause
}
