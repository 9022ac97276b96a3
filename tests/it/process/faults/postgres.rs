//! Faults of PostgreSQL.

use std::{fs, os::unix::fs::MetadataExt, process::Stdio};

use rand::{RngExt, rngs::StdRng};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    process::faults::run::{Fault, acknowledged_is_kept, cause, metric, serve},
    support::{
        Store,
        disk::{Ballast, command, is_root},
        process::{ADMIN, Process},
        soon, until,
    },
};

/// A connection to the server, in addition to the gateway's.
async fn observer() -> Option<DatabaseConnection> {
    let server = std::env::var("TEST_DATABASE_URL").ok()?;
    Some(Database::connect(server).await.expect("PostgreSQL"))
}

async fn execute(server: &DatabaseConnection, sql: &str) {
    server.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Ends the gateway's connections while they are in use.
struct Terminate {
    server: DatabaseConnection,
    database: String,
}

impl Terminate {
    async fn all(&self) {
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
            self.database
        );
        execute(&self.server, &end).await;
    }
}

impl Fault for Terminate {
    async fn strike(&mut self, random: &mut StdRng) {
        for _ in 0..random.random_range(1..30) {
            // Ends connections in a transaction, and one in five of the others.
            let end = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' \
                 AND (xact_start IS NOT NULL OR random() < 0.2)",
                self.database
            );
            execute(&self.server, &end).await;
        }
    }

    async fn heal(&mut self) {}
}

#[tokio::test]
async fn acknowledged_writes_survive_terminated_connections() {
    let Some(server) = observer().await else { return };
    let store = Store::new().await;
    let database = store.database().expect("a database");
    acknowledged_is_kept(&store, async |_| Terminate { server, database }).await;
    store.remove().await;
}

/// Simulates a failover to a replica: reads work and writes fail. Each change ends all connections.
struct ReadOnly(Terminate);

impl ReadOnly {
    async fn set(&self, value: &str) {
        let Terminate { server, database } = &self.0;
        let set = format!("ALTER DATABASE {database} SET default_transaction_read_only = {value}");
        execute(server, &set).await;
        self.0.all().await;
    }
}

impl Fault for ReadOnly {
    async fn strike(&mut self, _random: &mut StdRng) {
        self.set("on").await;
    }

    async fn heal(&mut self) {
        self.set("off").await;
    }
}

#[tokio::test]
async fn acknowledged_writes_survive_a_server_that_turns_read_only() {
    let Some(server) = observer().await else { return };
    let store = Store::new().await;
    let database = store.database().expect("a database");
    acknowledged_is_kept(&store, async |_| ReadOnly(Terminate { server, database })).await;
    store.remove().await;
}

/// The gateway has connections to a server that became read-only, and they stay open.
#[tokio::test]
async fn read_only_server_is_503_until_another_takes_over() {
    let Some(server) = observer().await else { return };
    let store = Store::new().await;
    let database = store.database().expect("a database");
    let process = Process::start(&mut serve(&store)).await;
    let admin = process.log_in("admin", ADMIN).await;
    let fault = ReadOnly(Terminate { server, database });
    fault.set("on").await;
    let refused = admin.post("/v1/topologies", json!({ "name": "lab" })).await;
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    refused.problem(503);
    until("cause", async || cause(&admin).await == "read_only").await;
    // From here on, new connections can write, and the open ones cannot.
    let Terminate { server, database } = &fault.0;
    let heal = format!("ALTER DATABASE {database} RESET default_transaction_read_only");
    execute(server, &heal).await;
    until("writes", async || cause(&admin).await.is_empty()).await;
    admin.post("/v1/topologies", json!({ "name": "lab" })).await.ok();
    process.stop().await;
    store.remove().await;
}

/// A PostgreSQL server for one test. On a shared server, a full tablespace would fail all
/// checkpoints. Other tests would fail with them.
struct Server {
    /// The server ends when the input of this shell is closed.
    shell: Child,
    url: String,
}

impl Server {
    async fn start() -> Self {
        let script = "apt_install() { return 1; }; . tests/postgres; start_postgres >&2; \
                      echo \"$postgres_url\"; read";
        let mut shell = Command::new("bash");
        shell.args(["-euc", script]).current_dir(env!("CARGO_MANIFEST_DIR"));
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = shell.spawn().expect("bash");
        let mut lines = BufReader::new(shell.stdout.take().expect("a pipe")).lines();
        let url = soon("server", lines.next_line()).await.expect("a pipe").expect("a URL");
        Self { shell, url }
    }

    async fn stop(mut self) {
        drop(self.shell.stdin.take());
        soon("end of the server", self.shell.wait()).await.expect("a status");
    }
}

/// No request is running that could notice the lost connection.
#[tokio::test]
async fn server_that_stops_while_idle_is_unreachable() {
    if observer().await.is_none() {
        return;
    }
    let server = Server::start().await;
    let store = Store::at(server.url.clone(), "").await;
    let process = Process::start(&mut serve(&store)).await;
    let admin = process.log_in("admin", ADMIN).await;
    assert_eq!(cause(&admin).await, "");
    server.stop().await;
    until("cause", async || cause(&admin).await == "unreachable").await;
    until("metric", async || metric(&admin, "streamgate_database_writable").await < 0.5).await;
    let refused = admin.post("/v1/topologies", json!({ "name": "lab" })).await;
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    refused.problem(503);
    process.stop().await;
}

/// A small file system that belongs to the user of the server.
async fn small_disk(server: &DatabaseConnection) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().to_str().expect("UTF-8");
    let show = Statement::from_string(server.get_database_backend(), "SHOW data_directory");
    let row = server.query_one_raw(show).await.expect("a result").expect("a row");
    let data: String = row.try_get_by_index(0).expect("a path");
    let owner = fs::metadata(data).expect("a server on this machine").uid();
    let options = format!("size=96m,mode=0700,uid={owner}");
    command("mount", &["-t", "tmpfs", "-o", &options, "streamgate-test", place]).await;
    directory
}

#[tokio::test]
async fn acknowledged_writes_survive_a_full_tablespace() {
    if observer().await.is_none() || !is_root().await {
        return;
    }
    let server = Server::start().await;
    let connection = Database::connect(&server.url).await.expect("PostgreSQL");
    let disk = small_disk(&connection).await;
    let create = format!("CREATE TABLESPACE small LOCATION '{}'", disk.path().display());
    execute(&connection, &create).await;
    let store = Store::at(server.url.clone(), "TABLESPACE small").await;
    acknowledged_is_kept(&store, async |_| Ballast::on(disk.path())).await;
    store.remove().await;
    connection.close().await.expect("closed");
    server.stop().await;
    command("umount", &["--lazy", disk.path().to_str().expect("UTF-8")]).await;
}
