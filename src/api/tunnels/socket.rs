//! Carries the frames of a tunnel client over its WebSocket.

use std::{io, sync::Arc, time::Duration};

use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use poem::web::websocket::{CloseCode, Message, WebSocketStream};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    family::{
        FamilyError,
        tunnel::{self, Client, Connected},
    },
    gateway::Gateway,
    limit::ClientConnection,
    tunnel::{Connection, Disconnect, Frames},
};

/// Time between two pings. The client of `mcpgateway` sends its own in the same interval.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Time without any frame of the client, pongs included, after which the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(50);

/// Time in which the client must take what is written.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// Frames that are written before a flush.
const BATCH: usize = 64;

type Reader = SplitStream<WebSocketStream>;
type Writer = SplitSink<WebSocketStream, Message>;

/// Serves a client until it is away.
pub(super) async fn serve(
    gateway: Arc<Gateway>,
    socket: WebSocketStream,
    client: Client,
    held: Option<Arc<ClientConnection>>,
) {
    let (mut writer, reader) = socket.split();
    match tunnel::connect(&gateway, client).await {
        Ok(Connected { connection, frames, slot }) => {
            tokio::join!(
                tunnel::attend(&gateway, &connection),
                read(&connection, reader),
                write(&connection, writer, frames),
            );
            drop(slot);
        }
        Err(error) => {
            tracing::warn!(%error, "a tunnel client got no tunnel");
            let (code, reason) = match error {
                FamilyError::Forbidden(_) => (CloseCode::Policy, "the tunnel was deleted"),
                _ => (CloseCode::Again, "the gateway cannot use its database at the moment"),
            };
            let close = Message::Close(Some((code, reason.to_owned())));
            let _ = timeout(WRITE_TIME, writer.send(close)).await;
        }
    }
    drop(held);
}

/// Reads frames until the connection ends.
async fn read(connection: &Connection, mut reader: Reader) {
    loop {
        let received = tokio::select! {
            _ = connection.closed() => return,
            received = timeout(SILENCE, reader.next()) => received,
        };
        connection.client_heard();
        match received {
            Ok(Some(Ok(Message::Text(text)))) => connection.receive(&text),
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
            Ok(Some(Ok(Message::Binary(_)))) => connection.close(Disconnect::Protocol),
            Ok(Some(Ok(Message::Close(_)))) => connection.close(Disconnect::Client),
            Ok(Some(Err(error))) if is_too_large(&error) => {
                connection.close(Disconnect::MessageTooLarge);
            }
            Ok(Some(Err(_)) | None) | Err(_) => connection.close(Disconnect::ConnectionLost),
        }
    }
}

/// Whether the error is that of a message above the limit. poem passes only the text on.
fn is_too_large(error: &io::Error) -> bool {
    error.to_string().contains("Space limit exceeded")
}

/// Writes frames and pings until the connection ends, then the reason.
async fn write(connection: &Connection, mut writer: Writer, mut frames: Frames) {
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let reason = loop {
        let written = tokio::select! {
            reason = connection.closed() => break reason,
            Some(frame) = frames.next() => {
                timeout(WRITE_TIME, write_batch(&mut writer, &mut frames, frame)).await
            }
            _ = pings.tick() => timeout(WRITE_TIME, ping(&mut writer)).await,
            () = connection.ping_wanted() => timeout(WRITE_TIME, ping(&mut writer)).await,
        };
        if !matches!(written, Ok(Ok(()))) {
            connection.close(Disconnect::ConnectionLost);
        }
    };
    let farewell = async {
        while let Some(frame) = frames.try_next() {
            writer.feed(Message::Text(frame)).await?;
        }
        writer.send(Message::Close(Some(farewell(reason)))).await
    };
    // A client that has gone does not take it.
    let _ = timeout(Duration::from_secs(2), farewell).await;
}

async fn write_batch(writer: &mut Writer, frames: &mut Frames, first: String) -> io::Result<()> {
    writer.feed(Message::Text(first)).await?;
    for _ in 1..BATCH {
        let Some(frame) = frames.try_next() else { break };
        writer.feed(Message::Text(frame)).await?;
    }
    writer.flush().await
}

async fn ping(writer: &mut Writer) -> io::Result<()> {
    writer.send(Message::Ping(Vec::new())).await
}

/// The close code (RFC 6455, section 7.4) and the reason, for the client.
fn farewell(reason: Disconnect) -> (CloseCode, String) {
    let (code, text) = match reason {
        Disconnect::Client => (CloseCode::Normal, "goodbye"),
        Disconnect::ConnectionLost => (CloseCode::Away, "the connection is too slow or silent"),
        Disconnect::Unresponsive => (CloseCode::Again, "the MCP server does not answer"),
        Disconnect::Protocol => (
            CloseCode::Policy,
            "the client did not register, sent a binary frame, or its MCP server refused to initialize",
        ),
        Disconnect::MessageTooLarge => {
            (CloseCode::Size, "a message is larger than the gateway accepts")
        }
        Disconnect::Replaced => (CloseCode::Policy, "the same client has connected again"),
        Disconnect::SessionEnded => {
            (CloseCode::Policy, "the login session or the API key has ended")
        }
        Disconnect::Deleted => (CloseCode::Policy, "the tunnel was deleted"),
        Disconnect::ServerShutdown => (CloseCode::Restart, "the gateway shuts down"),
    };
    (code, text.to_owned())
}
