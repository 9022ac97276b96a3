//! A server at work: with a load of its own that holds its streams and publishes.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

use crate::{
    client::{Answer, Form, Open, Opened, Order, Publish, Published},
    process::{Process, Side, command},
    server::{Credential, Peer, Server, program},
};

/// Streams opened at the same time: below any listener's backlog, above the cores.
const IN_FLIGHT: usize = 64;
/// Streams opened before memory is looked at, and kept: then the code is in memory and every pool
/// is filled.
const WARM_UP: usize = 100;
/// Streams opened before the other servers have their turn: whose sockets came last stand first in
/// the kernel's tables and are found sooner, so nobody's are to be all behind another's.
const TURN: usize = 250;
/// For opening all streams.
const OPENING: Duration = Duration::from_secs(40);
/// How often memory is looked at while events fly.
const LOOK: Duration = Duration::from_millis(500);
/// For the load to answer after its own limit.
const SPARE: Duration = Duration::from_secs(10);

/// A server and its load.
pub(crate) struct Stand {
    pub(crate) peer: Peer,
    server: Server,
    load: Process,
    /// Streams to open.
    targets: PathBuf,
    wanted: usize,
    opened: usize,
    /// Memory with the warm-up's streams open, in KiB.
    before: f64,
}

/// What to publish.
pub(crate) struct Pace {
    pub(crate) count: usize,
    pub(crate) per_second: Option<f64>,
    pub(crate) in_flight: usize,
    /// First one and number.
    pub(crate) topics: (usize, usize),
    pub(crate) limit: Duration,
}

/// What one round came to.
pub(crate) struct Round {
    pub(crate) published: Published,
    /// The server's processor time, in seconds.
    pub(crate) cpu: f64,
    /// The most that the server had in memory beyond what it had before, in KiB.
    pub(crate) growth: f64,
}

impl Round {
    /// Processor time for one delivery, in seconds.
    #[expect(clippy::cast_precision_loss, reason = "a number of deliveries")]
    pub(crate) fn cpu_per_delivery(&self) -> f64 {
        self.cpu / self.published.arrived as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of deliveries")]
    pub(crate) fn deliveries_per_second(&self) -> f64 {
        self.published.arrived as f64 / self.published.arriving
    }

    /// What went wrong, in words.
    pub(crate) fn trouble(&self) -> Option<String> {
        let Published { arrived, expected, ended, error, .. } = &self.published;
        let mut trouble = Vec::new();
        if *ended > 0 {
            trouble.push(format!("{ended} streams closed by the server"));
        }
        if arrived < expected {
            trouble.push(format!("{} of {expected} deliveries missing", expected - arrived));
        }
        trouble.extend(error.clone());
        (!trouble.is_empty()).then(|| trouble.join(", "))
    }
}

impl Stand {
    pub(crate) fn start(peer: Peer) -> anyhow::Result<Self> {
        let server = Server::start(peer)?;
        let mut command = command(Side::Load, program()?.as_str());
        command.args(["--mode", "client"]);
        let load = Process::start(command)?;
        let (wanted, opened, before) = (0, 0, 0.0);
        Ok(Self { peer, server, load, targets: PathBuf::new(), wanted, opened, before })
    }

    /// Closes all streams; there are to be `count` others.
    pub(crate) fn invite(&mut self, count: usize, topics: (usize, usize)) -> anyhow::Result<()> {
        self.close()?;
        self.targets = self.server.targets(count, topics, Credential::StreamToken)?;
        self.wanted = count;
        Ok(())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.opened == self.wanted
    }

    /// Opens some of the streams that are still missing, the warm-up's first.
    pub(crate) fn fill(&mut self) -> anyhow::Result<()> {
        let warm = self.warm();
        let turn = if self.opened < warm { warm } else { TURN };
        let count = turn.min(self.wanted - self.opened);
        let order = Open { skip: self.opened, ..self.order(self.targets.clone(), count) };
        self.opened += self.open(order)?.streams;
        if self.opened == warm {
            self.before = self.server.process.pss()?;
        }
        Ok(())
    }

    fn warm(&self) -> usize {
        WARM_UP.min(self.wanted / 2)
    }

    /// The memory that each stream costs now, in KiB.
    #[expect(clippy::cast_precision_loss, reason = "a number of streams")]
    pub(crate) fn memory_per_stream(&self) -> anyhow::Result<f64> {
        Ok((self.server.process.pss()? - self.before) / (self.opened - self.warm()) as f64)
    }

    /// Opens `count` streams with this credential and closes them again; how fast they opened, and
    /// the server's processor time for each, in seconds.
    pub(crate) fn connect(
        &mut self,
        count: usize,
        credential: Credential,
    ) -> anyhow::Result<(Opened, f64)> {
        let targets = self.server.targets(count, (0, 1), credential)?;
        let order = self.order(targets, count);
        let before = self.server.process.cpu()?;
        let opened = self.open(order)?;
        let cpu = self.server.process.cpu()? - before;
        self.close()?;
        #[expect(clippy::cast_precision_loss, reason = "a number of streams")]
        Ok((opened, cpu / count as f64))
    }

    pub(crate) fn close(&mut self) -> anyhow::Result<()> {
        (self.wanted, self.opened) = (0, 0);
        match self.ask(&Order::Close, SPARE)? {
            (Answer::Closed, _) => Ok(()),
            (answer, _) => bail!("unexpected: {answer:?}"),
        }
    }

    /// One round of events.
    pub(crate) fn publish(&mut self, pace: &Pace) -> anyhow::Result<Round> {
        let (form, path) = self.peer.form();
        self.send(self.publication(pace, form, path))
    }

    /// One round of requests of `count` events each, every one of them committed.
    pub(crate) fn publish_durably(&mut self, pace: &Pace, count: usize) -> anyhow::Result<Round> {
        self.send(self.publication(pace, Form::Count(count), "/durable"))
    }

    /// The same over the API, as agents do it: the topics are prompts.
    pub(crate) fn publish_as_agent(&mut self, pace: &Pace, count: usize) -> anyhow::Result<Round> {
        let (address, targets) = (self.server.streams, self.server.prompts()?);
        let publication = self.publication(pace, Form::Events(count), "");
        self.send(Publish { address, targets, ..publication })
    }

    /// On the control listener.
    fn publication(&self, pace: &Pace, form: Form, path: &str) -> Publish {
        Publish {
            address: self.server.control,
            path: path.to_owned(),
            targets: Vec::new(),
            form,
            count: pace.count,
            per_second: pace.per_second,
            in_flight: pace.in_flight,
            first_topic: pace.topics.0,
            topics: pace.topics.1,
            limit: pace.limit,
        }
    }

    fn send(&mut self, publication: Publish) -> anyhow::Result<Round> {
        let limit = publication.limit;
        let order = Order::Publish(publication);
        let (cpu, memory) = (self.server.process.cpu()?, self.server.process.rss()?);
        let (answer, most) = self.ask(&order, limit)?;
        let cpu = self.server.process.cpu()? - cpu;
        match answer {
            Answer::Published(published) => {
                Ok(Round { published, cpu, growth: (most - memory).max(0.0) })
            }
            Answer::Failed(error) => bail!(error),
            answer => bail!("unexpected: {answer:?}"),
        }
    }

    fn order(&self, targets: PathBuf, count: usize) -> Open {
        Open {
            address: self.server.streams,
            targets,
            skip: 0,
            count,
            ready: self.peer.ready(),
            in_flight: IN_FLIGHT,
            limit: OPENING,
        }
    }

    fn open(&mut self, order: Open) -> anyhow::Result<Opened> {
        let (count, limit) = (order.count, order.limit);
        match self.ask(&Order::Open(order), limit)? {
            (Answer::Opened(opened), _) => {
                let error = || opened.error.clone().unwrap_or_else(|| "no reason".to_owned());
                ensure!(
                    opened.error.is_none() && opened.streams == count,
                    "opened {} of {count} streams: {}",
                    opened.streams,
                    error()
                );
                Ok(opened)
            }
            (Answer::Failed(error), _) => bail!(error),
            (answer, _) => bail!("unexpected: {answer:?}"),
        }
    }

    /// The load's answer, and the most that the server had in memory meanwhile, in KiB.
    fn ask(&mut self, order: &Order, limit: Duration) -> anyhow::Result<(Answer, f64)> {
        self.load.say(&serde_json::to_string(order)?)?;
        let deadline = Instant::now() + limit + SPARE;
        let mut most = self.server.process.rss()?;
        loop {
            if let Some(line) = self.load.line(LOOK).context("the load")? {
                most = most.max(self.server.process.rss()?);
                let answer = serde_json::from_str(&line);
                return Ok((answer.with_context(|| format!("the load said {line}"))?, most));
            }
            most = most.max(self.server.process.rss()?);
            ensure!(Instant::now() < deadline, "the load does not answer");
        }
    }
}
