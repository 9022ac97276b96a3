//! Starts other programs on a separate core, and measures their CPU time and memory.
//!
//! No program outlives the benchmark. Each gets a signal when this program dies for any reason. The
//! benchmark's own programs also end with their standard input.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

/// Ticks per second in which `/proc` counts CPU time. Independent of the kernel's clock (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// Time limit for a program to end after a signal.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The core that a program runs on, if the machine has two or more cores.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    /// Core 0.
    Server,
    /// Core 1.
    Load,
    /// All cores.
    All,
}

/// A running program and its descendants.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    /// Process ids of the program and its descendants.
    members: Vec<u32>,
}

/// Builds the command that runs `program` on the core of its side. The program gets a signal when this
/// thread ends.
pub(crate) fn command(side: Side, program: &str) -> Command {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let core = match side {
        Side::Server => Some("0"),
        Side::Load => Some("1"),
        Side::All => None,
    };
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]);
    if let Some(core) = core.filter(|_| cores > 1) {
        command.args(["taskset", "--cpu-list", core]);
    }
    command.arg(program);
    command
}

impl Process {
    pub(crate) fn start(mut command: Command) -> anyhow::Result<Self> {
        let started =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.with_context(|| format!("cannot start {command:?}"))?;
        let (sender, lines) = mpsc::channel();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let sources: [Option<Box<dyn Read + Send>>; 2] =
            [out.map(|out| Box::new(out) as _), err.map(|err| Box::new(err) as _)];
        for source in sources.into_iter().flatten() {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(source).lines().map_while(Result::ok) {
                    // Keeps reading after an error, because a full pipe would block the program.
                    let _ = sender.send(line);
                }
            });
        }
        let members = vec![child.id()];
        Ok(Self { child, lines, members })
    }

    /// Waits for a line of output that contains `text`, and returns the rest of the line.
    pub(crate) fn expect(&mut self, text: &str, limit: Duration) -> anyhow::Result<String> {
        let deadline = Instant::now() + limit;
        let mut output = Vec::new();
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(remaining) {
                Ok(line) => match line.split_once(text) {
                    Some((_, value)) => return Ok(value.to_owned()),
                    None => output.push(line),
                },
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no {text:?} within {limit:?}: {}", output.join("; "))
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the program ended: {}", output.join("; "))
                }
            }
        }
    }

    /// Waits for the next line of output. None if there is none within `limit`.
    pub(crate) fn read_line(&mut self, limit: Duration) -> anyhow::Result<Option<String>> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("the program has ended"),
        }
    }

    /// Writes a line to the program's standard input.
    pub(crate) fn write_line(&mut self, line: &str) -> anyhow::Result<()> {
        let input = self.child.stdin.as_mut().context("the program has no standard input")?;
        Ok(writeln!(input, "{line}")?)
    }

    /// Finds the descendants of the program. Call this when all of them run.
    pub(crate) fn find_members(&mut self) -> anyhow::Result<()> {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // The process can have ended in the meantime.
            let Ok(fields) = stat(pid) else { continue };
            parents.push((pid, fields.get(1).and_then(|parent| parent.parse().ok()).unwrap_or(0)));
        }
        self.members.truncate(1);
        let mut next = 0;
        while let Some(member) = self.members.get(next).copied() {
            let children = parents.iter().filter(|(_, parent)| *parent == member);
            self.members.extend(children.map(|(pid, _): &(u32, u32)| *pid));
            next += 1;
        }
        Ok(())
    }

    /// CPU time used so far by all members, in user and system mode, in seconds.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        self.sum(|pid| {
            let fields = stat(pid)?;
            let ticks = fields.iter().skip(11).take(2).map(|field| field.parse::<f64>());
            Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
        })
    }

    /// Memory of all members in KiB, with each shared page divided by the number of its users (PSS). Pages of files are
    /// left out, because the number of their users depends on other programs. This call is slow.
    pub(crate) fn pss(&self) -> anyhow::Result<f64> {
        let fields = ["Pss_Anon:", "Pss_Shmem:"];
        self.sum(|pid| fields.iter().map(|field| kib(pid, "smaps_rollup", field)).sum())
    }

    /// Resident memory of all members in KiB (RSS). This call is fast.
    pub(crate) fn rss(&self) -> anyhow::Result<f64> {
        self.sum(|pid| kib(pid, "status", "VmRSS:"))
    }

    fn sum(&self, of: impl Fn(u32) -> anyhow::Result<f64>) -> anyhow::Result<f64> {
        self.members.iter().map(|pid| of(*pid)).sum()
    }

    fn ended(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            // The output ends with the program. Lines until then are dropped.
            if self.lines.recv_timeout(Duration::from_millis(20)).is_err() {
                thread::park_timeout(Duration::from_millis(5));
            }
        }
    }
}

/// The fields of `/proc/PID/stat` after the name, which can contain spaces (proc(5)).
fn stat(pid: u32) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = text.rsplit_once(')').context("no name in stat")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

fn kib(pid: u32, file: &str, field: &str) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_suffix("kB"));
    Ok(value.with_context(|| format!("no {field} in {file}"))?.trim().parse()?)
}

impl Drop for Process {
    /// Sends TERM first, because nginx and Pushpin have to end their own processes.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).stderr(Stdio::null()).status();
        if !self.ended(STOP_TIMEOUT) {
            let members = self.members.iter().map(u32::to_string);
            let _ = Command::new("kill").arg("-KILL").args(members).stderr(Stdio::null()).status();
            let _ = self.child.wait();
        }
    }
}
