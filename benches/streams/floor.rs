//! The floor: the least that tokio and the kernel need to hold connections and to write the same
//! bytes to all of them. No HTTP library, no login, no database, no heartbeat.

use std::{
    env::current_exe,
    io::{ErrorKind, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use reqwest::{Client, RequestBuilder};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    process::Command,
};

use crate::process::{LISTENING, Process};

const SNAPSHOT: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nevent: snapshot\n\n";
const PUBLISHED: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// Everybody who reads.
type Readers = Arc<Mutex<Vec<Weak<TcpStream>>>>;

/// A running floor.
pub(crate) struct Floor {
    pub(crate) process: Process,
    http: Client,
}

impl Floor {
    pub(crate) const STREAM_REQUEST: &str = "GET / HTTP/1.1\r\n\r\n";

    /// Starts this program once more, as the floor.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut command = Command::new(current_exe()?);
        command.arg("--floor");
        let process = Process::start(command, tempfile::tempdir()?).await?;
        Ok(Self { process, http: Client::new() })
    }

    /// A request to write `frame` to all.
    pub(crate) fn publish(&self, frame: &str) -> RequestBuilder {
        self.http.post(format!("http://{}", self.process.address)).body(frame.to_owned())
    }
}

/// Serves until killed.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{LISTENING}{}", listener.local_addr()?)?;
    let readers = Readers::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(attend(stream, Arc::clone(&readers)));
    }
}

/// Answers requests until the peer leaves.
async fn attend(mut stream: TcpStream, readers: Readers) -> anyhow::Result<()> {
    loop {
        let Some(request) = receive(&stream).await? else { return Ok(()) };
        if request.starts_with(b"GET") {
            stream.write_all(SNAPSHOT).await?;
            let stream = Arc::new(stream);
            lock(&readers).push(Arc::downgrade(&stream));
            // Whoever reads says nothing more: what comes is the end.
            while receive(&stream).await?.is_some() {}
            return Ok(());
        }
        let body = request.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(0, |at| at + 4);
        for reader in lock(&readers).iter().filter_map(Weak::upgrade) {
            // One who has left is not written to; nobody else fills a socket's buffer here.
            let _ = reader.try_write(&request[body..]);
        }
        stream.write_all(PUBLISHED).await?;
    }
}

/// A whole request, or none at the end: only a frame, which is a body, ends with a blank line of LF.
async fn receive(stream: &TcpStream) -> anyhow::Result<Option<Vec<u8>>> {
    let mut request = Vec::new();
    loop {
        stream.readable().await?;
        // Gone before the next wait, so an idle connection has no buffer.
        let mut bytes = [0; 2048];
        match stream.try_read(&mut bytes) {
            Ok(0) => return Ok(None),
            Ok(count) => request.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        }
        let end: &[u8] = if request.starts_with(b"GET") { b"\r\n\r\n" } else { b"\n\n" };
        if request.ends_with(end) {
            return Ok(Some(request));
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
