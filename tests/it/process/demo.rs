//! `streamgate demo`: everything that it prints works.

use std::{collections::BTreeSet, path::PathBuf, process::Stdio};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{
    Caller, Store,
    process::{Spawned, signal, spawn, streamgate},
    soon,
};

/// Starts the demo. Also returns its temporary directory.
fn start(store: &Store) -> (PathBuf, Spawned) {
    let scratch = store.directory.path().join("scratch");
    std::fs::create_dir(&scratch).expect("a directory");
    let mut command = streamgate(store, ["demo", "--listen", "127.0.0.1:0"]);
    // The demo must use its own directory, even if the variables of the service are set.
    command.env("TMPDIR", &scratch);
    (scratch, spawn(&mut command))
}

#[tokio::test]
async fn everything_that_the_demo_prints_works() {
    let store = Store::new().await;
    let (scratch, (mut child, mut out, err)) = start(&store);
    let mut lines = Vec::new();
    let curl = loop {
        let line = soon("line", out.next_line()).await.expect("a pipe").expect("a curl line");
        if line.starts_with("curl ") {
            break line;
        }
        lines.push(line);
    };
    let docs = lines.iter().find_map(|line| Some(line.split_once("http://")?.1));
    let (address, path) = docs.expect("a URL").split_once('/').expect("a path");
    assert_eq!(path, "docs");
    let address = address.parse().expect("an address");
    let anyone = Caller::at(address, None);
    let page = anyone.get("/docs").await.ok();
    assert!(page.as_str().expect("text").contains("<html"), "{page}");
    for role in ["admin", "operator", "agent", "viewer"] {
        let password = lines.iter().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(role)).then(|| words.next().expect("a password"))
        });
        let login = json!({ "username": role, "password": password.expect("a line") });
        let tokens = anyone.post("/v1/auth/login", login).await.ok();
        let token = tokens["access_token"].as_str().map(str::to_owned);
        let me = Caller::at(address, token).get("/v1/auth/me").await.ok();
        assert_eq!(me["role"], role);
    }

    // Runs the printed line. With `exec`, the end of the shell is the end of curl.
    let mut paste = Command::new("sh");
    paste.args(["-c", &format!("exec {curl}")]).kill_on_drop(true);
    paste.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (mut pasted, mut events, _) = spawn(&mut paste);
    // An event of every family, besides the snapshots.
    let mut missing: BTreeSet<&str> =
        ["topology", "task", "prompt", "mcp_session", "notification"].into();
    let mut kind = String::new();
    while !missing.is_empty() {
        let line = soon("event", events.next_line()).await.expect("a pipe").expect("an event");
        if let Some(event) = line.strip_prefix("event: ") {
            event.clone_into(&mut kind);
        } else if let Some(data) = line.strip_prefix("data: ")
            && kind != "snapshot"
        {
            let data: Value = serde_json::from_str(data).expect("JSON");
            let topic = data["topic"].as_str().expect("a topic");
            missing.remove(topic.split('.').next().expect("a family"));
        }
    }
    pasted.kill().await.expect("an end of curl");

    signal(&child, "TERM").await;
    let status = soon("end of the demo", child.wait()).await.expect("a status");
    let log = err.end().await;
    assert!(status.success(), "{status}: {log}");
    assert_eq!(log, "", "the demo logs no error");
    let left: Vec<_> = std::fs::read_dir(&scratch).expect("the directory").collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    assert!(!store.directory.path().join("data").exists());
    store.remove().await;
}

#[tokio::test]
async fn closing_the_terminal_ends_the_demo() {
    let store = Store::new().await;
    let (scratch, (mut child, mut out, err)) = start(&store);
    soon("line", out.next_line()).await.expect("a pipe").expect("a line");
    drop(out);
    // The shell and the kernel may both send SIGHUP. The second signal must not interrupt the
    // shutdown.
    signal(&child, "HUP").await;
    signal(&child, "HUP").await;
    let status = soon("end of the demo", child.wait()).await.expect("a status");
    let log = err.end().await;
    assert!(status.success(), "{status}: {log}");
    assert_eq!(
        std::fs::read_dir(&scratch).expect("the directory").count(),
        0,
        "the directory is empty"
    );
    store.remove().await;
}
