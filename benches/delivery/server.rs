//! The servers that are compared: how each is started, subscribed to and told of an event.

use std::{
    env::current_exe,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::{
    client::{Form, Ready},
    packages,
    process::{Process, Side, command},
    serve::{ON_POSTGRES, TOPICS, VARIANTS},
};

/// What our own programs say when they can be used, with the address of the streams.
pub(crate) const LISTENING: &str = "listening on ";
/// The same of streamgate's control listener.
pub(crate) const CONTROL: &str = "controlled at ";
/// For a server to start.
const STARTING: Duration = Duration::from_secs(30);
/// For one answer while it starts.
const ANSWER: Duration = Duration::from_secs(2);

/// A server under comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// One of [`VARIANTS`].
    Streamgate(usize),
    Floor,
    Nchan,
    Pushpin,
    Plain,
}

impl Peer {
    /// All that are installed, in the order of the tables.
    pub(crate) fn all() -> Vec<Self> {
        let mut peers: Vec<Self> = (0..ON_POSTGRES).map(Self::Streamgate).collect();
        peers.push(Self::Floor);
        peers.extend(packages::nchan_version().map(|_| Self::Nchan));
        peers.extend(packages::pushpin_version().map(|_| Self::Pushpin));
        peers.push(Self::Plain);
        peers
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Streamgate(variant) => VARIANTS[variant].name,
            Self::Floor => "floor, write()",
            Self::Nchan => "Nchan",
            Self::Pushpin => "Pushpin",
            Self::Plain => "poem SSE, broadcast",
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Streamgate(_))
    }

    pub(crate) fn ready(self) -> Ready {
        if self.is_ours() { Ready::Snapshot } else { Ready::Head }
    }

    /// How it is told of an event: the body and the path.
    pub(crate) fn form(self) -> (Form, &'static str) {
        let form = if self == Self::Pushpin { Form::Items } else { Form::Data };
        (form, "/publish")
    }
}

/// With what a stream is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// A stream token for each stream.
    StreamToken,
    /// The access tokens of a thousand users.
    Bearer,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) peer: Peer,
    pub(crate) process: Process,
    pub(crate) streams: SocketAddr,
    pub(crate) control: SocketAddr,
    /// Behind Pushpin.
    _origin: Option<Process>,
    directory: TempDir,
}

impl Server {
    pub(crate) fn start(peer: Peer) -> anyhow::Result<Self> {
        Self::try_start(peer).with_context(|| format!("{} did not start", peer.name()))
    }

    fn try_start(peer: Peer) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut server = match peer {
            Peer::Streamgate(variant) => {
                let variant = variant.to_string();
                let mut command = command(Side::Server, program()?.as_str());
                command
                    .args(["--mode", "serve", "--variant", &variant, "--directory"])
                    .arg(directory.path());
                let mut process = Process::start(command)?;
                let control = process.expect(CONTROL, STARTING)?.parse()?;
                let streams = process.expect(LISTENING, STARTING)?.parse()?;
                Self { peer, process, streams, control, _origin: None, directory }
            }
            Peer::Floor | Peer::Plain => {
                let mode = if peer == Peer::Floor { "floor" } else { "plain" };
                let (process, streams) = ours(Side::Server, mode)?;
                Self { peer, process, streams, control: streams, _origin: None, directory }
            }
            Peer::Nchan => {
                let (process, streams) = packages::start_nchan(directory.path())?;
                Self { peer, process, streams, control: streams, _origin: None, directory }
            }
            Peer::Pushpin => {
                let (origin, behind) = ours(Side::Load, "origin")?;
                let (process, streams, control) =
                    packages::start_pushpin(directory.path(), behind)?;
                Self { peer, process, streams, control, _origin: Some(origin), directory }
            }
        };
        if matches!(peer, Peer::Nchan | Peer::Pushpin) {
            server.wait_for_stream()?;
        }
        server.process.find_members()?;
        Ok(server)
    }

    /// Opens a stream again and again until it is answered: the parts of Pushpin find one another
    /// some time after all have started.
    fn wait_for_stream(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + STARTING;
        loop {
            match self.try_stream() {
                Ok(()) => return Ok(()),
                Err(error) => ensure!(Instant::now() < deadline, "no stream: {error:#}"),
            }
            self.process.line(Duration::from_millis(100))?;
        }
    }

    fn try_stream(&self) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect_timeout(&self.streams, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        write!(
            stream,
            "GET /sub/{} HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n",
            TOPICS - 1
        )?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        ensure!(head == *b"HTTP/1.1 200", "{}", String::from_utf8_lossy(&head));
        Ok(())
    }

    /// Writes a file of streams to open: see [`crate::client::Open::targets`].
    pub(crate) fn targets(
        &self,
        count: usize,
        (first, topics): (usize, usize),
        credential: Credential,
    ) -> anyhow::Result<PathBuf> {
        let path = self.directory.path().join("targets");
        let text = if self.peer.is_ours() {
            let what = match credential {
                Credential::StreamToken => "streams",
                Credential::Bearer => "bearers",
            };
            get(self.control, &format!("/{what}?n={count}&first={first}&topics={topics}"))?
        } else {
            let line = |i| format!("{0}\t/sub/{0}\t\n", first + i % topics);
            (0..count).map(line).collect()
        };
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Prompts to publish on: see [`crate::client::Publish::targets`].
    pub(crate) fn prompts(&self) -> anyhow::Result<Vec<String>> {
        Ok(get(self.control, "/prompts")?.lines().map(str::to_owned).collect())
    }
}

/// Starts this program once more in one of its other modes.
pub(crate) fn ours(side: Side, mode: &str) -> anyhow::Result<(Process, SocketAddr)> {
    let mut command = command(side, program()?.as_str());
    command.args(["--mode", mode]);
    let mut process = Process::start(command)?;
    let address = process.expect(LISTENING, STARTING)?.parse()?;
    Ok((process, address))
}

/// The path of this program.
pub(crate) fn program() -> anyhow::Result<String> {
    let path: PathBuf = current_exe()?;
    Ok(Path::to_str(&path).context("the path of this program is not text")?.to_owned())
}

/// The body of an answer whose length is known.
fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(STARTING))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    Ok(body.to_owned())
}
