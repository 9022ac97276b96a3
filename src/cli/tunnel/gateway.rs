//! The connection to the gateway, which is opened again whenever it ends.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use streamgate::tunnel::READ_BUFFER_BYTES;
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{HeaderValue, Request, StatusCode},
        protocol::WebSocketConfig,
    },
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    backoff::Backoff,
    frames::{FromGateway, from_server, register, unregister},
    local::WORKS,
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Time between two pings, and three times the time without a word after which the gateway counts as gone.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Time for the handshake of TCP, TLS and WebSocket.
const CONNECT_TIME: Duration = Duration::from_secs(20);

/// The reason why the client stops to serve a server.
pub(super) enum Leave {
    /// The gateway refuses the client, and will not change its mind.
    Refused(String),
    /// The user has stopped the client.
    Shutdown,
    /// The MCP server has ended.
    ServerEnded,
}

/// The reason why one connection ended.
enum Lost {
    Leave(Leave),
    /// The connection, which can be opened again.
    Connection(String),
}

/// Opens the WebSocket.
async fn connect(request: Request<()>) -> Result<Socket, Error> {
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    // With Nagle's algorithm, a message would wait for the acknowledgement of the previous one.
    let without_nagle = true;
    let (socket, _) = connect_async_with_config(request, Some(config), without_nagle).await?;
    Ok(socket)
}

/// A gateway, and how the client presents itself.
pub(super) struct Gateway {
    request: Request<()>,
    description: String,
    backoff: Backoff,
    /// A message of the server that could not be sent.
    unsent: Option<String>,
}

impl Gateway {
    pub(super) fn new(
        url: &Url,
        key: &str,
        name: Option<String>,
        instance: String,
        description: String,
    ) -> anyhow::Result<Self> {
        let mut url = url.clone();
        let scheme = match url.scheme() {
            "http" => "ws",
            "https" => "wss",
            other => anyhow::bail!("--url must begin with http:// or https://, not {other}://"),
        };
        // Both schemes are special, so the change is allowed.
        let _ = url.set_scheme(scheme);
        let path = format!("{}/reverse-proxy/ws", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let mut request = url.as_str().into_client_request().context("--url is not valid")?;
        let headers = [
            ("authorization", Some(format!("Bearer {key}"))),
            ("x-tunnel-name", name),
            ("x-session-id", Some(instance)),
        ];
        for (header, value) in headers {
            let Some(value) = value else { continue };
            let mut value = HeaderValue::from_str(&value)
                .with_context(|| format!("the value for the header {header} is not valid"))?;
            value.set_sensitive(header == "authorization");
            request.headers_mut().insert(header, value);
        }
        Ok(Self { request, description, backoff: Backoff::default(), unsent: None })
    }

    /// Passes messages between the gateway and a server until one of them ends for good.
    pub(super) async fn serve(
        &mut self,
        input: &mpsc::Sender<String>,
        output: &mut mpsc::Receiver<String>,
        shutdown: &CancellationToken,
    ) -> Leave {
        // It was for a server that has ended.
        self.unsent = None;
        loop {
            let connecting = timeout(CONNECT_TIME, Box::pin(connect(self.request.clone())));
            let connected = tokio::select! {
                connected = connecting => connected,
                () = input.closed() => return Leave::ServerEnded,
                () = shutdown.cancelled() => return Leave::Shutdown,
            };
            let reason = match connected {
                Ok(Ok(socket)) => {
                    let began = Instant::now();
                    match self.carry(socket, input, output, shutdown).await {
                        Lost::Leave(leave) => return leave,
                        Lost::Connection(reason) => {
                            if began.elapsed() > WORKS {
                                self.backoff = Backoff::default();
                            }
                            reason
                        }
                    }
                }
                Ok(Err(Error::Http(response))) => {
                    let (status, body) = (response.status(), response.body().as_deref());
                    let reason = refusal(status, body.unwrap_or_default());
                    if is_final(status) {
                        return Leave::Refused(reason);
                    }
                    reason
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it does not answer".to_owned(),
            };
            let wait = self.backoff.next();
            tracing::warn!(reason, ?wait, "no connection to the gateway: trying again");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = input.closed() => return Leave::ServerEnded,
                () = shutdown.cancelled() => return Leave::Shutdown,
            }
        }
    }

    /// Passes messages over one connection.
    async fn carry(
        &mut self,
        mut socket: Socket,
        input: &mpsc::Sender<String>,
        output: &mut mpsc::Receiver<String>,
        shutdown: &CancellationToken,
    ) -> Lost {
        if let Err(error) = socket.send(Message::text(register(&self.description))).await {
            return error.into();
        }
        if let Some(frame) = self.unsent.take()
            && let Err(error) = self.send(&mut socket, frame).await
        {
            return error.into();
        }
        let mut pings = interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        // The message that the server has not taken yet. The connection waits for it, and the output of the server is
        // read in the meantime.
        let mut untaken: Option<String> = None;
        loop {
            tokio::select! {
                permit = input.reserve(), if untaken.is_some() => match permit {
                    Ok(permit) => {
                        if let Some(payload) = untaken.take() {
                            permit.send(payload);
                        }
                    }
                    Err(_) => return self.leave(socket, Leave::ServerEnded).await,
                },
                frame = socket.next(), if untaken.is_none() => {
                    heard_at = Instant::now();
                    match message_for_server(frame) {
                        Ok(payload) => untaken = payload,
                        Err(lost) => return lost,
                    }
                }
                line = output.recv() => {
                    let Some(line) = line else { return self.leave(socket, Leave::ServerEnded).await };
                    let Some(frame) = from_server(&line) else {
                        tracing::info!(line, "the MCP server wrote something that is no message");
                        continue;
                    };
                    if let Err(error) = self.send(&mut socket, frame).await {
                        return error.into();
                    }
                }
                _ = pings.tick() => {
                    if untaken.is_none() && heard_at.elapsed() > PING_INTERVAL * 3 {
                        return Lost::Connection("it is silent".to_owned());
                    }
                    if let Err(error) = socket.send(Message::Ping(Vec::new().into())).await {
                        return error.into();
                    }
                }
                () = shutdown.cancelled() => return self.leave(socket, Leave::Shutdown).await,
            }
        }
    }

    /// Sends a frame. If that fails, the next connection sends it.
    async fn send(&mut self, socket: &mut Socket, frame: String) -> Result<(), Error> {
        let sent = socket.send(Message::text(frame.clone())).await;
        if sent.is_err() {
            self.unsent = Some(frame);
        }
        sent
    }

    /// Says goodbye.
    async fn leave(&self, mut socket: Socket, leave: Leave) -> Lost {
        let farewell = async {
            socket.send(Message::text(unregister())).await?;
            socket.close(None).await?;
            while socket.next().await.is_some_and(|frame| frame.is_ok()) {}
            Ok::<_, Error>(())
        };
        let _ = timeout(Duration::from_secs(2), farewell).await;
        Lost::Leave(leave)
    }
}

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        Self::Connection(error.to_string())
    }
}

/// The message for the server in what the socket has received. `None` if it has none.
fn message_for_server(frame: Option<Result<Message, Error>>) -> Result<Option<String>, Lost> {
    match frame {
        Some(Ok(Message::Text(text))) => Ok(received(&text)),
        Some(Ok(Message::Close(close))) => {
            let reason = close.map(|close| close.reason.to_string()).unwrap_or_default();
            Err(Lost::Connection(format!("it has closed the connection: {reason}")))
        }
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) => Err(error.into()),
        None => Err(Lost::Connection("the connection has ended".to_owned())),
    }
}

/// The message for the server in a frame of the gateway.
fn received(text: &str) -> Option<String> {
    let frame: FromGateway = serde_json::from_str(text).ok()?;
    match frame.kind.as_str() {
        "request" => frame.payload.map(|payload| payload.get().to_owned()),
        "register_complete" => {
            tracing::info!(tunnel = frame.tunnel, "connected to the gateway");
            None
        }
        _ => None,
    }
}

/// Whether another attempt would be refused, too.
fn is_final(status: StatusCode) -> bool {
    status.is_client_error()
        && ![StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status)
}

/// The reason of a refusal: the detail of the problem, else the status.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    match detail {
        Some(detail) => format!("{status}: {detail}"),
        None => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_async;

    use super::*;

    #[tokio::test]
    async fn no_message_waits_for_the_acknowledgement_of_another() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}", listener.local_addr().expect("an address"));
        let request = url.into_client_request().expect("a request");
        let accept = async {
            let (socket, _) = listener.accept().await.expect("a connection");
            accept_async(socket).await.expect("a WebSocket")
        };
        let (socket, _server) = tokio::join!(connect(request), accept);
        let socket = socket.expect("a WebSocket");
        let MaybeTlsStream::Plain(tcp) = socket.get_ref() else { panic!("no TLS was asked for") };
        assert!(tcp.nodelay().expect("an option"));
    }
}
