//! Starts a server that is compared.

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

use super::{
    kind::{Credential, Peer},
    packages,
};
use crate::{
    api_load::Credentials,
    child::{CONTROL, LISTENING},
    process::{Process, Side, command},
    streamgate::{REACTORS, TOPICS},
};

/// Time limit for the start of a server.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit for one response while the server starts.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A running server.
pub(crate) struct Server {
    pub(crate) peer: Peer,
    pub(crate) process: Process,
    pub(crate) streams: SocketAddr,
    pub(crate) control: SocketAddr,
    /// The server behind Pushpin.
    _origin: Option<Process>,
    pub(crate) directory: TempDir,
}

impl Server {
    pub(crate) fn start(peer: Peer) -> anyhow::Result<Self> {
        Self::try_start(peer).with_context(|| format!("{} did not start", peer.name()))
    }

    fn try_start(peer: Peer) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut server = match peer {
            Peer::Streamgate(variant) => {
                let side = if REACTORS.contains(&variant) { Side::All } else { Side::Server };
                let variant = variant.to_string();
                let mut command = command(side, &own_path()?);
                command
                    .args(["--mode", "streamgate", "--variant", &variant, "--directory"])
                    .arg(directory.path());
                let mut process = Process::start(command)?;
                let control = process.expect(CONTROL, START_TIMEOUT)?.parse()?;
                let streams = process.expect(LISTENING, START_TIMEOUT)?.parse()?;
                Self { peer, process, streams, control, _origin: None, directory }
            }
            Peer::Floor | Peer::Broadcast => {
                let mode = if peer == Peer::Floor { "floor" } else { "broadcast" };
                let (process, streams) = start_mode(Side::Server, mode)?;
                Self { peer, process, streams, control: streams, _origin: None, directory }
            }
            Peer::Nchan => {
                let (process, streams) = packages::start_nchan(directory.path())?;
                Self { peer, process, streams, control: streams, _origin: None, directory }
            }
            Peer::Pushpin => {
                let (origin, origin_address) = start_mode(Side::Load, "origin")?;
                let (process, streams, control) =
                    packages::start_pushpin(directory.path(), origin_address)?;
                Self { peer, process, streams, control, _origin: Some(origin), directory }
            }
        };
        if matches!(peer, Peer::Nchan | Peer::Pushpin) {
            server.wait_for_stream()?;
        }
        server.process.find_members()?;
        Ok(server)
    }

    /// Tries to open a stream until this succeeds. The processes of Pushpin need some time to connect to each other
    /// after all have started.
    fn wait_for_stream(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            match self.try_stream() {
                Ok(()) => return Ok(()),
                Err(error) => ensure!(Instant::now() < deadline, "cannot open a stream: {error:#}"),
            }
            self.process.read_line(Duration::from_millis(100))?;
        }
    }

    fn try_stream(&self) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect_timeout(&self.streams, RESPONSE_TIMEOUT)?;
        stream.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
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

    /// Writes a file of streams to open, see [`crate::load_generator::Open::streams`].
    pub(crate) fn write_streams_file(
        &self,
        count: usize,
        (first, topics): (usize, usize),
        credential: Credential,
    ) -> anyhow::Result<PathBuf> {
        let path = self.directory.path().join("streams");
        let text = if self.peer.is_streamgate() {
            let action = match credential {
                Credential::StreamToken => "streams",
                Credential::AccessToken => "access-tokens",
            };
            get(self.control, &format!("/{action}?n={count}&first={first}&topics={topics}"))?
        } else {
            let line = |i| format!("{0}\t/sub/{0}\t\n", first + i % topics);
            (0..count).map(line).collect()
        };
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Publishes an event on the first topic. Returns the time until it was written to the sockets of all `count`
    /// subscribers.
    pub(crate) fn deliver_once(&self, count: usize) -> anyhow::Result<Duration> {
        let nanos = get(self.control, &format!("/deliver?count={count}"))?.parse()?;
        Ok(Duration::from_nanos(nanos))
    }

    /// The credentials for requests to the API.
    pub(crate) fn credentials(&self) -> anyhow::Result<Credentials> {
        Credentials::parse(&get(self.control, "/credentials")?)
    }

    /// The latencies that the gateway has recorded since its start.
    pub(crate) fn latencies(&self) -> anyhow::Result<Vec<Latency>> {
        let text = get(self.control, "/latencies")?;
        text.lines().map(|line| parse(line).with_context(|| line.to_owned())).collect()
    }

    /// Lists paths to publish on, see [`crate::load_generator::Publish::paths`].
    pub(crate) fn prompt_paths(&self) -> anyhow::Result<Vec<String>> {
        Ok(get(self.control, "/prompts")?.lines().map(str::to_owned).collect())
    }
}

/// A latency of the gateway.
pub(crate) struct Latency {
    pub(crate) name: String,
    /// 50th, 95th and 99th percentile.
    pub(crate) seconds: [f64; 3],
}

fn parse(line: &str) -> Option<Latency> {
    let mut fields = line.split('\t');
    let name = fields.next()?.to_owned();
    let mut seconds = || Some(Duration::from_nanos(fields.next()?.parse().ok()?).as_secs_f64());
    Some(Latency { name, seconds: [seconds()?, seconds()?, seconds()?] })
}

/// Starts this program in another mode.
fn start_mode(side: Side, mode: &str) -> anyhow::Result<(Process, SocketAddr)> {
    let mut command = command(side, &own_path()?);
    command.args(["--mode", mode]);
    let mut process = Process::start(command)?;
    let address = process.expect(LISTENING, START_TIMEOUT)?.parse()?;
    Ok((process, address))
}

/// The path of this program.
pub(crate) fn own_path() -> anyhow::Result<String> {
    let path: PathBuf = current_exe()?;
    Ok(Path::to_str(&path).context("the path of this program is not UTF-8")?.to_owned())
}

/// Sends a GET request and returns the body of the response.
fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, RESPONSE_TIMEOUT)?;
    stream.set_read_timeout(Some(START_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").context("the response has no head")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    Ok(body.to_owned())
}
