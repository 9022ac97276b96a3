//! An MCP server that speaks on standard input and output: one message in each line (MCP, stdio).

use std::{process::Stdio, time::Duration};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::local::{Server, WAITING};

/// Time that a server has to end after each step: the end of its input, then SIGTERM.
const END_TIME: Duration = Duration::from_secs(2);

/// Starts the command.
pub(super) fn start(command: &[String], shutdown: CancellationToken) -> anyhow::Result<Server> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut child = Command::new(program)
        .arg("exec")
        .arg("--")
        .args(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // The processes that the server starts end with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", command[0]))?;
    let stdin = child.stdin.take().context("no standard input")?;
    let stdout = child.stdout.take().context("no standard output")?;
    tracing::info!(pid = child.id(), command = command.join(" "), "started the MCP server");
    let (input, messages) = mpsc::channel(WAITING);
    let (sender, output) = mpsc::channel(WAITING);
    let ended = tokio::spawn(async move {
        let gone = tokio::select! {
            () = write(stdin, messages) => "the tunnel ends",
            () = read(stdout, sender) => "it closed its output",
            () = shutdown.cancelled() => "the tunnel ends",
        };
        end(child, gone).await
    });
    Ok(Server { input, output, ended })
}

/// Writes messages until the last sender is gone. Then the input of the server ends.
async fn write(mut stdin: ChildStdin, mut messages: mpsc::Receiver<String>) {
    while let Some(mut message) = messages.recv().await {
        // A line end between the tokens of a message would end it.
        if message.contains('\n') {
            message = message.replace(['\n', '\r'], " ");
        }
        message.push('\n');
        if stdin.write_all(message.as_bytes()).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

/// Reads lines of any length until the server closes its output.
async fn read(stdout: ChildStdout, messages: mpsc::Sender<String>) {
    let mut lines = BufReader::new(stdout).lines();
    loop {
        match lines.next_line().await {
            Ok(Some(line)) => {
                if !line.trim().is_empty() && messages.send(line).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the output of the MCP server cannot be read");
                return;
            }
        }
    }
}

/// Ends the server and everything that it has started. Returns how it ended.
async fn end(mut child: Child, gone: &str) -> String {
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut status = timeout(END_TIME, child.wait()).await;
    if status.is_err() {
        signal(group, Signal::TERM);
        status = timeout(END_TIME, child.wait()).await;
    }
    // Also what the server has left behind.
    signal(group, Signal::KILL);
    if let Ok(Ok(status)) = status {
        format!("{gone}, {status}")
    } else {
        let _ = child.wait().await;
        format!("{gone}, it was killed")
    }
}

fn signal(group: Option<Pid>, signal: Signal) {
    // The group is gone if all of its processes are.
    let _ = group.map(|group| kill_process_group(group, signal));
}
