//! Output that cannot be written: its reader is gone or does not read, or the disk is full.

use std::{fs::OpenOptions, process::Stdio};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};

use crate::support::{
    Caller, Store, id_of,
    process::{ADMIN, run, signal, streamgate},
    soon, until,
};

/// A full disk.
fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("/dev/full").into()
}

fn serve(store: &Store) -> Command {
    let mut serve = streamgate(store, ["serve", "--listen", "127.0.0.1:0"]);
    serve
        .env("STREAMGATE_ADMIN_PASSWORD", ADMIN)
        .env("STREAMGATE_LIMITS__REQUESTS_PER_MINUTE", "100000")
        .env("STREAMGATE_LOG__FILTER", "trace")
        .env("STREAMGATE_LOG__FORMAT", "json");
    serve
}

/// Starts the service and reads its address. Does not read its error output.
async fn start(serve: &mut Command) -> (Child, Caller) {
    let mut child = serve.spawn().expect("a process");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let line = soon("line", out.next_line()).await.expect("a pipe").expect("a line");
    let address = line.strip_prefix("listening on http://").expect("an address");
    let anyone = Caller::at(address.parse().expect("an address"), None);
    (child, anyone)
}

async fn dropped(anyone: &Caller) -> u64 {
    let metrics = anyone.get("/metrics").await.ok();
    let metrics = metrics.as_str().expect("text");
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix("streamgate_log_lines_dropped_total "))
        .unwrap_or_else(|| panic!("no metric: {metrics}"));
    count.parse().expect("a number")
}

/// Checks that the service works, drops log lines, and ends with success.
async fn is_whole(mut child: Child, anyone: &Caller) {
    anyone.get("/health/live").await.ok();
    let login = json!({ "username": "admin", "password": ADMIN });
    let tokens = anyone.post("/v1/auth/login", login).await.ok();
    let token = tokens["access_token"].as_str().expect("an access token").to_owned();
    let admin = Caller::at(anyone.address, Some(token));
    let id = id_of(&admin.post("/v1/topologies", json!({ "name": "lab" })).await.ok());
    let mut reader = admin.watch(id, "").await;
    reader.expect("snapshot").await;
    admin.set_status(id, "deploying").await.ok();
    reader.expect("status").await;
    until("dropped lines", async || dropped(anyone).await > 0).await;
    signal(&child, "TERM").await;
    reader.expect("stream.closed").await;
    drop(reader);
    let status = soon("end", child.wait()).await.expect("a status");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn service_continues_when_the_disk_of_the_log_is_full() {
    let store = Store::new().await;
    let (child, anyone) = start(serve(&store).stderr(full())).await;
    is_whole(child, &anyone).await;
    store.remove().await;
}

#[tokio::test]
async fn service_continues_when_the_log_pipe_is_closed() {
    let store = Store::new().await;
    let (mut child, anyone) = start(&mut serve(&store)).await;
    drop(child.stderr.take());
    is_whole(child, &anyone).await;
    store.remove().await;
}

/// Sends requests until the log drops lines, because nothing reads the log.
async fn fill(anyone: &Caller) {
    let path = format!("/nowhere/{}", "x".repeat(4_000));
    until("dropped lines", async || {
        drop(join_all((0..8).map(|_| anyone.get(&path))).await);
        dropped(anyone).await > 0
    })
    .await;
}

#[tokio::test]
async fn unread_log_pipe_does_not_delay_the_service() {
    let store = Store::new().await;
    let (child, anyone) = start(&mut serve(&store)).await;
    fill(&anyone).await;
    is_whole(child, &anyone).await;
    store.remove().await;
}

#[tokio::test]
async fn dropped_log_lines_are_reported_when_the_log_works_again() {
    let store = Store::new().await;
    let (mut child, anyone) = start(&mut serve(&store)).await;
    fill(&anyone).await;
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let told = loop {
        let line = soon("line", lines.next_line()).await.expect("a pipe").expect("a line");
        let line: Value = serde_json::from_str(&line).expect("JSON on every line");
        if line["message"].as_str().is_some_and(|message| message.contains("were dropped")) {
            break line;
        }
    };
    assert_eq!(told["level"], "WARN");
    assert_eq!(told["lines"].as_u64(), Some(dropped(&anyone).await), "{told}");
    signal(&child, "TERM").await;
    let rest = async {
        let mut rest = String::new();
        lines.get_mut().read_to_string(&mut rest).await.map(|_| rest)
    };
    let rest = soon("end of the log", rest).await.expect("UTF-8");
    assert!(!rest.contains("were dropped"), "the dropped lines were reported twice");
    let last = rest.lines().last().expect("a line");
    serde_json::from_str::<Value>(last).expect("a whole line at the end");
    assert!(soon("end", child.wait()).await.expect("a status").success());
    store.remove().await;
}

#[tokio::test]
async fn error_on_a_full_disk_still_sets_the_exit_status() {
    let store = Store::new().await;
    for arguments in [vec!["serve", "--config", "nowhere.toml"], vec!["migrate", "--down", "1"]] {
        let mut command = streamgate(&store, &arguments);
        if arguments[0] == "migrate" {
            command.env("STREAMGATE_DATA_DIR", "/dev/null/data");
        }
        let mut child = command.stderr(full()).spawn().expect("a process");
        let status = soon("end", child.wait()).await.expect("a status");
        assert_eq!(status.code(), Some(1), "{arguments:?}");
    }
    store.remove().await;
}

#[tokio::test]
async fn closed_standard_output_does_not_stop_the_service() {
    let store = Store::new().await;
    for closed in [true, false] {
        let mut serve = serve(&store);
        serve.env("STREAMGATE_LOG__FILTER", "info").env_remove("STREAMGATE_ADMIN_PASSWORD");
        if !closed {
            serve.stdout(full());
        }
        let mut child = serve.spawn().expect("a process");
        drop(child.stdout.take());
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut said = Vec::new();
        let address = loop {
            let line = soon("line", lines.next_line()).await.expect("a pipe").expect("a line");
            let line: Value = serde_json::from_str(&line).expect("JSON");
            if let Some(address) = line["address"].as_str() {
                break address.parse().expect("an address");
            }
            said.push(line["message"].as_str().unwrap_or_default().to_owned());
        };
        // The password of the first administrator is lost, so the log must say what to do.
        let is_told = said.iter().any(|line| line.contains("streamgate user password admin"));
        assert_eq!(is_told, closed, "at the first start: {said:?}");
        Caller::at(address, None).get("/health/live").await.ok();
        signal(&child, "TERM").await;
        assert!(soon("end", child.wait()).await.expect("a status").success());
    }
    store.remove().await;
}

#[tokio::test]
async fn print_error_is_reported_unless_the_pipe_is_closed() {
    let store = Store::new().await;
    // The document is longer than a pipe holds, so the program still writes it when the reader
    // closes the pipe.
    let mut child = streamgate(&store, ["openapi"]).spawn().expect("a process");
    let mut out = child.stdout.take().expect("a pipe");
    soon("byte", out.read_u8()).await.expect("a byte");
    drop(out);
    let output = soon("end", child.wait_with_output()).await.expect("a process");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let on_full_disk = async |arguments: &[&str]| {
        let child = streamgate(&store, arguments).stdout(full()).spawn().expect("a process");
        let output = soon("end", child.wait_with_output()).await.expect("a process");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let (status, said) = on_full_disk(&["openapi"]).await;
    assert!(status == Some(1) && said.contains("No space"), "{said}");
    // An administrator must be told that the password could not be printed.
    let migrated = run(&store, &["migrate"]).await;
    assert!(migrated.success, "{}", migrated.err);
    let (status, said) = on_full_disk(&["user", "add", "ada", "--role", "viewer"]).await;
    assert!(status == Some(1) && said.contains("could not be printed"), "{said}");
    store.remove().await;
}
