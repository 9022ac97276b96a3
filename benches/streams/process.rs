//! A process under measurement: started, asked for its memory, killed by its own handle.

use std::{
    fs::{self, File},
    net::SocketAddr,
    process::Stdio,
};

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// What a process says once it listens; the floor says the same.
pub(crate) const LISTENING: &str = "listening on http://";

/// Per second, what Linux counts processor time in for programs (`USER_HZ`).
const TICKS: f64 = 100.0;

/// A running server.
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    child: Child,
    id: u32,
    /// Kept open: a server whose output breaks may fail.
    _output: Lines<BufReader<ChildStdout>>,
    _directory: TempDir,
}

/// Memory as Linux counts it, in KiB.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// What is resident, shared pages divided by their users.
    pub(crate) pss: f64,
    /// The most that ever was resident (VmHWM).
    pub(crate) peak: f64,
}

impl Process {
    /// Starts a server and waits until it listens. Its log goes to a file in `directory`, as it
    /// would under a service manager.
    pub(crate) async fn start(mut command: Command, directory: TempDir) -> anyhow::Result<Self> {
        let log = directory.path().join("stderr.log");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let id = child.id().context("no process id")?;
        let mut output = BufReader::new(child.stdout.take().context("no output")?).lines();
        while let Some(line) = output.next_line().await? {
            if let Some(address) = line.strip_prefix(LISTENING) {
                let address = address.parse()?;
                return Ok(Self { address, child, id, _output: output, _directory: directory });
            }
        }
        bail!("the server did not start: {}", fs::read_to_string(&log)?)
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let read = |file: &str, field: &str| -> anyhow::Result<f64> {
            let text = fs::read_to_string(format!("/proc/{}/{file}", self.id))?;
            let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_suffix("kB"));
            Ok(value.with_context(|| format!("no {field} in {file}"))?.trim().parse()?)
        };
        Ok(Memory { pss: read("smaps_rollup", "Pss:")?, peak: read("status", "VmHWM:")? })
    }

    /// Seconds of processor time taken so far, by the program and by the kernel for it.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.id))?;
        // The name, in brackets, may have spaces; after it come the state and numbers (proc(5)).
        let (_, fields) = text.rsplit_once(')').context("no name in stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}
