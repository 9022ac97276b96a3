//! A proxy that serves a gateway below a path prefix and strips the prefix, as nginx does with
//! `location /gate/ { proxy_pass http://gateway/; }`.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

const PREFIX: &str = "/gate";

/// A running proxy. It ends when this is dropped.
pub struct PrefixProxy {
    /// Base URL of the gateway for the proxy's clients.
    pub base: String,
    accepting: JoinHandle<()>,
}

impl PrefixProxy {
    /// Reserves an address, so that a gateway can know it before it starts.
    pub async fn listen() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        (listener, format!("http://{address}{PREFIX}"))
    }

    /// Forwards requests to the gateway at this address.
    pub fn start((listener, base): (TcpListener, String), gateway: SocketAddr) -> Self {
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(forward(client, gateway));
            }
        });
        Self { base, accepting }
    }
}

impl Drop for PrefixProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Forwards one request and its response.
async fn forward(mut client: TcpStream, gateway: SocketAddr) -> Option<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end + 2;
        }
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let body = bytes.split_off(end);
    let head = String::from_utf8(bytes).ok()?;
    let Some(head) = head.strip_prefix("GET").or(head.strip_prefix("POST")).and_then(|target| {
        let method = &head[..head.len() - target.len()];
        let target = target.strip_prefix(' ')?.strip_prefix(PREFIX)?;
        target.starts_with('/').then(|| format!("{method} {target}"))
    }) else {
        return client.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.ok();
    };
    let mut server = TcpStream::connect(gateway).await.ok()?;
    // Only the first request of a connection is changed.
    let head = format!("{head}connection: close\r\n");
    server.write_all(head.as_bytes()).await.ok()?;
    server.write_all(&body).await.ok()?;
    copy_bidirectional(&mut client, &mut server).await.ok().map(|_| ())
}
