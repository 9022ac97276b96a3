//! A test bed: one server with a load generator that holds its streams and publishes.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

use crate::{
    api_load,
    disk::Disk,
    load_generator::{Command, Form, Open, Opened, Publish, Reply},
    measurement::Measurement,
    peer::{Credential, Latency, Peer, Server, own_path},
    process::{Process, Side, command},
    workload::Workload,
};

/// Number of streams opened at the same time. It is below every listener's backlog and above the number of cores.
const IN_FLIGHT: usize = 64;
/// Streams opened before the first reading of memory. They stay open. After them, the code is in memory
/// and every pool is filled.
const WARM_UP: usize = 100;
/// Streams opened before the other servers open theirs. The kernel finds newer sockets faster in its tables. With
/// batches, no server has only older sockets than another.
const BATCH: usize = 250;
/// Time limit for opening all streams.
const OPEN_TIMEOUT: Duration = Duration::from_secs(40);
/// Interval at which memory is read during a measurement.
const MEMORY_INTERVAL: Duration = Duration::from_millis(500);
/// Time that the load generator has to reply after its own time limit.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// A server and its load generator.
pub(crate) struct TestBed {
    pub(crate) peer: Peer,
    server: Server,
    load_generator: Process,
    /// The file of streams to open.
    streams: PathBuf,
    /// Number of requested streams.
    requested: usize,
    opened: usize,
    /// Memory with only the streams of the warm-up open, in KiB.
    memory_before: f64,
}

impl TestBed {
    pub(crate) fn start(peer: Peer) -> anyhow::Result<Self> {
        let server = Server::start(peer)?;
        let mut command = command(Side::Load, &own_path()?);
        command.args(["--mode", "load-generator"]);
        let load_generator = Process::start(command)?;
        Ok(Self {
            peer,
            server,
            load_generator,
            streams: PathBuf::new(),
            requested: 0,
            opened: 0,
            memory_before: 0.0,
        })
    }

    /// Closes all streams, and requests `count` others. [`Self::open_batch`] opens them.
    pub(crate) fn request_streams(
        &mut self,
        count: usize,
        topics: (usize, usize),
    ) -> anyhow::Result<()> {
        self.close()?;
        self.streams = self.server.write_streams_file(count, topics, Credential::StreamToken)?;
        self.requested = count;
        Ok(())
    }

    /// Whether all requested streams are open.
    pub(crate) fn has_all_streams(&self) -> bool {
        self.opened == self.requested
    }

    /// Opens some of the missing streams, beginning with those of the warm-up.
    pub(crate) fn open_batch(&mut self) -> anyhow::Result<()> {
        let warm_up = self.warm_up();
        let batch = if self.opened < warm_up { warm_up } else { BATCH };
        let count = batch.min(self.requested - self.opened);
        let open = Open { skip: self.opened, ..self.new_open(self.streams.clone(), count) };
        self.opened += self.open(open)?.streams;
        if self.opened == warm_up {
            self.memory_before = self.server.process.pss()?;
        }
        Ok(())
    }

    fn warm_up(&self) -> usize {
        WARM_UP.min(self.requested / 2)
    }

    /// The server's memory per stream, in KiB.
    #[expect(clippy::cast_precision_loss, reason = "a number of streams")]
    pub(crate) fn memory_per_stream(&self) -> anyhow::Result<f64> {
        Ok((self.server.process.pss()? - self.memory_before)
            / (self.opened - self.warm_up()) as f64)
    }

    /// Opens `count` streams with this credential, and closes them again. Returns the result, and the
    /// server's CPU time per stream in seconds.
    pub(crate) fn connect(
        &mut self,
        count: usize,
        credential: Credential,
    ) -> anyhow::Result<(Opened, f64)> {
        let streams = self.server.write_streams_file(count, (0, 1), credential)?;
        let open = self.new_open(streams, count);
        let before = self.server.process.cpu()?;
        let opened = self.open(open)?;
        let cpu = self.server.process.cpu()? - before;
        self.close()?;
        #[expect(clippy::cast_precision_loss, reason = "a number of streams")]
        Ok((opened, cpu / count as f64))
    }

    /// Closes all streams.
    pub(crate) fn close(&mut self) -> anyhow::Result<()> {
        (self.requested, self.opened) = (0, 0);
        match self.execute(&Command::Close, REPLY_TIMEOUT)? {
            (Reply::Closed, _) => Ok(()),
            (reply, _) => bail!("unexpected reply: {reply:?}"),
        }
    }

    /// Publishes one event. Returns the time until it was written to the sockets of all subscribers. They do not read
    /// meanwhile, so the server has all cores.
    pub(crate) fn deliver_once(&self) -> anyhow::Result<Duration> {
        self.server.deliver_once(self.opened)
    }

    /// Sends requests that authenticate, look up and refresh. Returns the latencies that the gateway has recorded since its
    /// start, and the latency of the disk at the same time.
    pub(crate) fn authenticate(&self, reads: usize) -> anyhow::Result<Vec<Latency>> {
        let credentials = self.server.credentials()?;
        let disk = Disk::start(self.server.directory.path())?;
        api_load::run(self.server.streams, &credentials, reads)?;
        let mut latencies = self.server.latencies()?;
        latencies.push(disk.stop()?);
        Ok(latencies)
    }

    /// Publishes to all subscribers, without a commit.
    pub(crate) fn publish(&mut self, workload: &Workload) -> anyhow::Result<Measurement> {
        let (form, path) = self.peer.form();
        self.measure(self.new_publish(workload, form, path))
    }

    /// Publishes requests of `events` events each, all of them committed.
    pub(crate) fn publish_durably(
        &mut self,
        workload: &Workload,
        events: usize,
    ) -> anyhow::Result<Measurement> {
        self.measure(self.new_publish(workload, Form::Count(events), "/durable"))
    }

    /// Publishes over the API as an agent. The topics are prompts.
    pub(crate) fn publish_as_agent(
        &mut self,
        workload: &Workload,
        events: usize,
    ) -> anyhow::Result<Measurement> {
        let (address, paths) = (self.server.streams, self.server.prompt_paths()?);
        let publish = self.new_publish(workload, Form::Events(events), "");
        self.measure(Publish { address, paths, ..publish })
    }

    /// A command that publishes through the control listener.
    fn new_publish(&self, workload: &Workload, form: Form, path: &str) -> Publish {
        Publish {
            address: self.server.control,
            path: path.to_owned(),
            paths: Vec::new(),
            form,
            count: workload.count,
            per_second: workload.per_second,
            in_flight: workload.in_flight,
            first_topic: workload.topics.0,
            topics: workload.topics.1,
            limit: workload.limit,
        }
    }

    /// Publishes, and measures the server meanwhile.
    fn measure(&mut self, publish: Publish) -> anyhow::Result<Measurement> {
        let limit = publish.limit;
        let command = Command::Publish(publish);
        let (cpu, memory) = (self.server.process.cpu()?, self.server.process.rss()?);
        let (reply, max_memory) = self.execute(&command, limit)?;
        let cpu = self.server.process.cpu()? - cpu;
        match reply {
            Reply::Published(published) => {
                let memory_growth = (max_memory - memory).max(0.0);
                Ok(Measurement { published, cpu, memory_growth })
            }
            Reply::Failed(error) => bail!(error),
            reply => bail!("unexpected reply: {reply:?}"),
        }
    }

    fn new_open(&self, streams: PathBuf, count: usize) -> Open {
        Open {
            address: self.server.streams,
            streams,
            skip: 0,
            count,
            ready: self.peer.ready(),
            in_flight: IN_FLIGHT,
            limit: OPEN_TIMEOUT,
        }
    }

    fn open(&mut self, open: Open) -> anyhow::Result<Opened> {
        let (count, limit) = (open.count, open.limit);
        match self.execute(&Command::Open(open), limit)? {
            (Reply::Opened(opened), _) => {
                let error = || opened.error.clone().unwrap_or_else(|| "no reason given".to_owned());
                ensure!(
                    opened.error.is_none() && opened.streams == count,
                    "opened {} of {count} streams: {}",
                    opened.streams,
                    error()
                );
                Ok(opened)
            }
            (Reply::Failed(error), _) => bail!(error),
            (reply, _) => bail!("unexpected reply: {reply:?}"),
        }
    }

    /// Sends a command to the load generator. Returns its reply, and the server's largest memory in
    /// KiB until then.
    fn execute(&mut self, command: &Command, limit: Duration) -> anyhow::Result<(Reply, f64)> {
        self.load_generator.write_line(&serde_json::to_string(command)?)?;
        let deadline = Instant::now() + limit + REPLY_TIMEOUT;
        let mut max_memory = self.server.process.rss()?;
        loop {
            let line = self.load_generator.read_line(MEMORY_INTERVAL);
            let line = line.context("the load generator")?;
            max_memory = max_memory.max(self.server.process.rss()?);
            if let Some(line) = line {
                let reply = serde_json::from_str(&line);
                let reply = reply.with_context(|| format!("the load generator printed {line}"))?;
                return Ok((reply, max_memory));
            }
            ensure!(Instant::now() < deadline, "the load generator does not reply");
        }
    }
}
