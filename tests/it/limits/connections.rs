//! Limits of connections, in total and per address.

use entity::user::Role;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{App, soon, until};

/// Sends a request on a new connection, which stays open. Returns the connection and the status.
/// `None` if the server closes the connection at once.
async fn ask(app: &App, token: Option<&str>) -> Option<(TcpStream, String)> {
    let mut socket = TcpStream::connect(app.address).await.expect("a connection");
    let credential = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let head =
        format!("GET /v1/auth/me HTTP/1.1\r\nHost: x\r\n{}\r\n", credential.unwrap_or_default());
    // A failed write means the same as a closed connection.
    let _ = socket.write_all(head.as_bytes()).await;
    let mut line = [0; 12];
    soon("response", socket.read_exact(&mut line)).await.ok()?;
    Some((socket, String::from_utf8_lossy(&line[9..]).into_owned()))
}

#[tokio::test]
async fn authenticated_connection_does_not_count_for_its_address() {
    let app = App::with(|config| {
        config.limits.connections_per_address = 2;
        config.limits.exempt_networks = Vec::new();
    })
    .await;
    let viewer = app.caller(Role::Viewer).await;
    let token = viewer.token.as_deref().expect("a token");
    // The connection that logged in.
    viewer.me().await;
    let mut open = Vec::new();
    for _ in 0..5 {
        let (socket, status) = ask(&app, Some(token)).await.expect("a response");
        assert_eq!(status, "200");
        open.push(socket);
    }
    for _ in 0..2 {
        let (socket, status) = ask(&app, None).await.expect("a response");
        assert_eq!(status, "401");
        open.push(socket);
    }
    assert!(ask(&app, None).await.is_none(), "a connection over the limit was accepted");
    // A token does not help over the limit, because the server does not know the user yet.
    assert!(ask(&app, Some(token)).await.is_none(), "a connection over the limit was accepted");
    open.pop();
    until("free connection", async || ask(&app, Some(token)).await.is_some()).await;
    app.finish().await;
}

#[tokio::test]
async fn stream_counts_as_a_connection_until_it_ends() {
    let app = App::with(|config| config.limits.connections = 3).await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = operator.watch(topology, "").await;
        stream.expect("snapshot").await;
        streams.push(stream);
    }
    assert!(ask(&app, None).await.is_none(), "a connection over the limit was accepted");
    streams.pop();
    until("free connection", async || ask(&app, None).await.is_some()).await;
    drop(streams);
    app.finish().await;
}
