//! The latency that a tunnel adds to the calls of an MCP server.
//!
//! Calls an MCP server that answers at once: directly, through a gateway and its tunnel client, and through two processes
//! that only pass bytes on. The three take turns in one run.
//!
//! Calls start at a fixed rate, whether or not the calls before have ended. The time of a call counts from the moment at
//! which it should have started, so a system that falls behind is not measured as fast.
//!
//! Each figure is the median of many short turns. In one long turn, a machine that stops for a tenth of a second would
//! decide the 99th percentile alone.
//!
//! `cargo bench --bench tunnel -- [--rate N] [--seconds N] [--rounds N]`

#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

mod relay;
mod server;

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinSet,
    time::sleep,
};

const ADMIN: &str = "a password for benchmarks";

/// A process that ends with the benchmark.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The MCP endpoint that is called, directly or through the tunnel.
struct Target {
    client: Client,
    url: String,
    token: Option<String>,
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str, default: u64| {
        let value = arguments.iter().position(|argument| argument == name);
        let value = value.and_then(|at| arguments.get(at + 1));
        value.map_or(default, |value| value.parse().expect("a number"))
    };
    if let [_, relay, target] = arguments.as_slice()
        && relay == "relay"
    {
        return relay::run(target).await;
    }
    let (rate, seconds, rounds) =
        (number("--rate", 1_000), number("--seconds", 3), number("--rounds", 11));

    let server = server::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let (base, _gateway) = gateway(directory.path()).await;
    let client = Client::new();
    let login = json!({ "username": "admin", "password": ADMIN });
    let login = client.post(format!("{base}/v1/auth/login")).json(&login);
    let login: Value = login.send().await.expect("a login").json().await.expect("JSON");
    let token = login["access_token"].as_str().expect("a token").to_owned();
    let key = client.post(format!("{base}/v1/api-keys")).bearer_auth(&token);
    let key = key.json(&json!({ "name": "bench" })).send().await.expect("a key");
    let key: Value = key.json().await.expect("JSON");
    let key = key["key"].as_str().expect("a key").to_owned();
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamgate"));
    command.args(["tunnel", "--url", &base, "--name", "bench", "--http", &server]);
    command.env("STREAMGATE_KEY", &key).stderr(Stdio::null());
    let _tunnel = Process(command.spawn().expect("a tunnel client"));

    let address = server.trim_start_matches("http://").trim_end_matches("/mcp");
    let (inner, _inner) = relay::start(address);
    let (outer, _outer) = relay::start(&inner);
    let relayed = Target { client: Client::new(), url: format!("http://{outer}/mcp"), token: None };
    let direct = Target { client: Client::new(), url: server, token: None };
    let url = format!("{base}/mcp/@admin/bench");
    let tunnelled = Target { client: Client::new(), url, token: Some(key) };
    // The first call waits for the handshake, and reads the schemas of the tools.
    while call(&tunnelled, 0).await.is_err() {
        sleep(Duration::from_millis(50)).await;
    }
    let paths = [("direct", &direct), ("floor", &relayed), ("tunnelled", &tunnelled)];
    for (_, target) in paths {
        // Opens the connections.
        load(target, rate, 1).await;
    }
    let mut turns = paths.map(|_| Vec::new());
    for _ in 0..rounds {
        for ((_, target), turns) in paths.iter().zip(&mut turns) {
            turns.push(quantiles(&load(target, rate, seconds).await));
        }
    }
    println!("{rate} calls per second, median of {rounds} turns of {seconds} s, milliseconds");
    println!("| path | p50 | p95 | p99 | added p50 | added p95 | added p99 |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let medians = turns.map(|turns| [0, 1, 2].map(|index| median(&turns, index)));
    let mut added = Vec::new();
    for ((name, _), [p50, p95, p99]) in paths.iter().zip(medians) {
        let before = medians[0];
        let [a50, a95, a99] = [p50 - before[0], p95 - before[1], p99 - before[2]];
        println!("| {name} | {p50:.2} | {p95:.2} | {p99:.2} | {a50:.2} | {a95:.2} | {a99:.2} |");
        added.push([a50, a99]);
    }
    let ratio = |index: usize| added[2][index] / added[1][index];
    println!(
        "added by the tunnel, ratio to the floor: {:.2} at p50, {:.2} at p99",
        ratio(0),
        ratio(1)
    );
}

/// The latencies at 50, 95 and 99 %, in milliseconds.
fn quantiles(result: &Histogram<u64>) -> [f64; 3] {
    [0.5, 0.95, 0.99].map(|quantile| {
        Duration::from_micros(result.value_at_quantile(quantile)).as_secs_f64() * 1e3
    })
}

/// The median of one of the quantiles over all turns.
fn median(turns: &[[f64; 3]], index: usize) -> f64 {
    let mut values: Vec<f64> = turns.iter().map(|turn| turn[index]).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Starts a gateway without limits that the load would reach.
async fn gateway(directory: &std::path::Path) -> (String, Process) {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = probe.local_addr().expect("an address").to_string();
    drop(probe);
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamgate"));
    command.args(["serve", "--listen", &address, "--data-dir"]).arg(directory);
    command.env("STREAMGATE_ADMIN_PASSWORD", ADMIN);
    command.env("STREAMGATE_LIMITS__REQUESTS_PER_MINUTE", "100000000");
    command.env("STREAMGATE_LOG__FILTER", "warn");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let process = Process(command.spawn().expect("a gateway"));
    let base = format!("http://{address}");
    while reqwest::get(format!("{base}/health/live")).await.is_err() {
        sleep(Duration::from_millis(20)).await;
    }
    (base, process)
}

/// Calls at a fixed rate. Returns the latencies in microseconds.
async fn load(target: &Target, rate: u64, seconds: u64) -> Histogram<u64> {
    let mut result = Histogram::new(3).expect("a histogram");
    let mut calls = JoinSet::new();
    let mut due_calls = schedule(rate, seconds);
    while let Some((number, due)) = due_calls.recv().await {
        let target = Target {
            client: target.client.clone(),
            url: target.url.clone(),
            token: target.token.clone(),
        };
        calls.spawn(async move {
            call(&target, number).await.expect("an answer");
            due.elapsed()
        });
    }
    while let Some(latency) = calls.join_next().await {
        let micros = latency.expect("no panic").as_micros();
        result.record(u64::try_from(micros).unwrap_or(u64::MAX)).expect("in range");
    }
    result
}

/// The number of each call, when it is due, and the time at which it is. A thread sleeps until then, because the timer of
/// the runtime counts whole milliseconds.
#[expect(clippy::disallowed_methods, reason = "the thread has no other task")]
fn schedule(rate: u64, seconds: u64) -> UnboundedReceiver<(u64, Instant)> {
    let (sender, receiver) = unbounded_channel();
    thread::spawn(move || {
        let start = Instant::now() + Duration::from_millis(100);
        for number in 0..rate * seconds {
            let due = start + Duration::from_micros(number * 1_000_000 / rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send((number, due)).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Calls the tool once.
async fn call(target: &Target, number: u64) -> Result<(), String> {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({ "name": "echo", "arguments": { "number": number }, "_meta": meta });
    let body = json!({ "jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params });
    let mut request = target.client.post(&target.url).json(&body);
    for (name, value) in [
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo"),
    ] {
        request = request.header(name, value);
    }
    if let Some(token) = &target.token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.map_err(|error| error.to_string())?;
    let answer: Value = response.json().await.map_err(|error| error.to_string())?;
    if answer["result"]["number"] == number { Ok(()) } else { Err(answer.to_string()) }
}
