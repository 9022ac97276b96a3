//! Programs that this one starts, on a core of their own, and what they cost.
//!
//! None outlives the benchmark: each gets a signal when this program dies, whatever of, and ours
//! also end with their input.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

/// Ticks of the clock that processor time is counted in, whatever the kernel's own (`USER_HZ`).
const TICKS: f64 = 100.0;
/// For a program to end by itself.
const ENDING: Duration = Duration::from_secs(5);

/// Which cores the two sides have, if there are enough.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Server,
    Load,
}

/// A running program, with all that it has started.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    /// Itself and its descendants.
    members: Vec<u32>,
}

/// The command to run `program` on its side's core, ended by a signal when this thread ends.
pub(crate) fn command(side: Side, program: &str) -> Command {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let core = match side {
        Side::Server => "0",
        Side::Load => "1",
    };
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]);
    if cores > 1 {
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
                    // Read on even if nobody listens: a full pipe would stop the program.
                    let _ = sender.send(line);
                }
            });
        }
        let members = vec![child.id()];
        Ok(Self { child, lines, members })
    }

    /// Waits for a line of output that has `text`, and returns what follows it.
    pub(crate) fn expect(&mut self, text: &str, limit: Duration) -> anyhow::Result<String> {
        let deadline = Instant::now() + limit;
        let mut said = Vec::new();
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(rest) {
                Ok(line) => match line.split_once(text) {
                    Some((_, value)) => return Ok(value.to_owned()),
                    None => said.push(line),
                },
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no {text:?} within {limit:?}: {}", said.join("; "))
                }
                Err(RecvTimeoutError::Disconnected) => bail!("it ended: {}", said.join("; ")),
            }
        }
    }

    /// The next line, or none until then.
    pub(crate) fn line(&mut self, most: Duration) -> anyhow::Result<Option<String>> {
        match self.lines.recv_timeout(most) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("the program has ended"),
        }
    }

    pub(crate) fn say(&mut self, line: &str) -> anyhow::Result<()> {
        let input = self.child.stdin.as_mut().context("no input")?;
        Ok(writeln!(input, "{line}")?)
    }

    /// Finds the programs that it has started. To be called once all of them run.
    pub(crate) fn find_members(&mut self) -> anyhow::Result<()> {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // It may have ended meanwhile.
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

    /// Seconds of processor time taken so far by all of it, and by the kernel for it.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        self.sum(|pid| {
            let fields = stat(pid)?;
            let ticks = fields.iter().skip(11).take(2).map(|field| field.parse::<f64>());
            Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
        })
    }

    /// KiB in memory, shared pages divided by their users, without those of files: how many users
    /// the pages of a program have depends on what else runs. Counting takes a while.
    pub(crate) fn pss(&self) -> anyhow::Result<f64> {
        let fields = ["Pss_Anon:", "Pss_Shmem:"];
        self.sum(|pid| fields.iter().map(|field| kib(pid, "smaps_rollup", field)).sum())
    }

    /// KiB in memory, cheap to ask.
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
            // Its output ends when it does; what it says meanwhile is of no interest.
            if self.lines.recv_timeout(Duration::from_millis(20)).is_err() {
                thread::park_timeout(Duration::from_millis(5));
            }
        }
    }
}

/// The fields of `/proc/PID/stat` behind the name, which may have blanks in it (proc(5)).
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
    /// Politely first, because nginx and Pushpin have to end what they have started.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).stderr(Stdio::null()).status();
        if !self.ended(ENDING) {
            let members = self.members.iter().map(u32::to_string);
            let _ = Command::new("kill").arg("-KILL").args(members).stderr(Stdio::null()).status();
            let _ = self.child.wait();
        }
    }
}
