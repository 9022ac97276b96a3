//! Faults under SQLite's files.

use std::{fs, path::PathBuf};

use rand::{RngExt, rngs::StdRng};
use serde_json::json;

use crate::{
    process::faults::run::{Fault, acknowledged_is_kept, cause, metric, serve},
    support::{
        Store,
        disk::{Ballast, Disk, command, is_root, write_until_refused},
        id_of,
        process::{ADMIN, Process},
        until,
    },
};

#[tokio::test]
async fn acknowledged_writes_survive_a_full_disk() {
    let store = Store::new().await;
    if store.url().is_some() || !is_root().await {
        return;
    }
    let disk = Disk::mount(&store, "256m").await;
    acknowledged_is_kept(&store, async |_| Ballast::on(&disk.0)).await;
    drop(disk);
    store.remove().await;
}

/// Limits the size of every file that the process writes (`RLIMIT_FSIZE`).
struct FileSize {
    process: String,
    log: PathBuf,
}

impl FileSize {
    async fn set(&self, bytes: &str) {
        let limit = format!("--fsize={bytes}:unlimited");
        command("prlimit", &["--pid", &self.process, &limit]).await;
    }
}

impl Fault for FileSize {
    async fn strike(&mut self, random: &mut StdRng) {
        let size = fs::metadata(&self.log).expect("a write-ahead log").len();
        self.set(&(size + random.random_range(0..60_000)).to_string()).await;
    }

    async fn heal(&mut self) {
        self.set("unlimited").await;
    }
}

#[tokio::test]
async fn acknowledged_writes_survive_a_file_size_limit() {
    let store = Store::new().await;
    if store.url().is_some() {
        return;
    }
    let log = store.directory.path().join("data/streamgate.db-wal");
    acknowledged_is_kept(&store, async |process| {
        let process = process.child.id().expect("a running process").to_string();
        FileSize { process, log }
    })
    .await;
    store.remove().await;
}

#[tokio::test]
async fn full_disk_is_507_until_space_is_free() {
    let store = Store::new().await;
    if store.url().is_some() || !is_root().await {
        return;
    }
    let disk = Disk::mount(&store, "32m").await;
    let process = Process::start(serve(&store).env("STREAMGATE_LOG__FILTER", "info")).await;
    let admin = process.log_in("admin", ADMIN).await;
    let topology = id_of(&admin.post("/v1/topologies", json!({ "name": "lab" })).await.ok());
    let mut stream = admin.watch(topology, "").await;
    stream.expect("snapshot").await;
    assert_eq!(cause(&admin).await, "");

    let ballast = Ballast::on(&disk.0);
    ballast.fill_except(0);
    let refused = write_until_refused(&admin).await;
    assert_eq!(refused.status, 507, "{refused:?}");
    let seconds = refused.headers["retry-after"].to_str().expect("ASCII").parse::<u64>();
    assert!((10..=16).contains(&seconds.expect("seconds")), "{refused:?}");
    assert_eq!(refused.body["type"], "https://streamgate.dev/problems/insufficient-storage");
    assert_eq!(refused.problem(507), "the disk of the database is full");
    assert_eq!(cause(&admin).await, "disk_full");
    assert_eq!(metric(&admin, "streamgate_database_writable").await.to_string(), "0");
    // Reads still work.
    admin.get(&format!("/v1/topologies/{topology}")).await.ok();

    ballast.remove();
    until("free space", async || cause(&admin).await.is_empty()).await;
    admin.set_status(topology, "deploying").await.ok();
    assert_eq!(stream.expect("status").await.data["to"], "deploying");
    drop(stream);
    let log = process.stop().await;
    for line in ["the database does not accept writes", "the database accepts writes again"] {
        let lines: Vec<&str> = log.lines().filter(|text| text.contains(line)).collect();
        assert!(lines.len() == 1 && lines[0].contains("disk_full"), "{line}: {lines:?}");
    }
    drop(disk);
    store.remove().await;
}

/// Another process holds the write lock.
#[tokio::test]
async fn locked_database_is_503_until_it_is_released() {
    let store = Store::new().await;
    if store.url().is_some() {
        return;
    }
    let process = Process::start(&mut serve(&store)).await;
    let admin = process.log_in("admin", ADMIN).await;
    let file = store.directory.path().join("data/streamgate.db");
    let other = sea_orm::Database::connect(format!("sqlite:{}", file.display())).await;
    let other = other.expect("the same file");
    let held = sea_orm::ConnectionTrait::execute_unprepared(&other, "BEGIN IMMEDIATE");
    // One connection: the lock stays with it until COMMIT.
    held.await.expect("the lock");
    // The gateway finds the lock without a failed write.
    until("lock", async || cause(&admin).await == "locked").await;
    let refused = admin.post("/v1/topologies", json!({ "name": "lab" })).await;
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    refused.problem(503);
    sea_orm::ConnectionTrait::execute_unprepared(&other, "COMMIT").await.expect("a release");
    until("release", async || cause(&admin).await.is_empty()).await;
    admin.post("/v1/topologies", json!({ "name": "lab" })).await.ok();
    other.close().await.expect("closed");
    process.stop().await;
    store.remove().await;
}
