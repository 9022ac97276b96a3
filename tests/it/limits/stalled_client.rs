//! An HTTP/2 client that neither reads nor responds.

use entity::user::Role;
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{App, soon, until};

/// A HEADERS frame (RFC 9113, section 6.2) of a GET. Its fields are literals (RFC 7541, section
/// 6.2.2).
fn headers(app: &App, path: &str, token: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", &*app.address.to_string()),
        (":path", path),
        ("authorization", &*format!("Bearer {token}")),
    ] {
        block.push(0);
        for text in [name, value] {
            // An integer with a prefix of 7 bits (RFC 7541, section 5.1).
            let mut length = text.len();
            if length < 127 {
                block.push(u8::try_from(length).expect("7 bits"));
            } else {
                block.push(127);
                length -= 127;
                while length >= 128 {
                    block.push(u8::try_from(length % 128).expect("7 bits") | 128);
                    length /= 128;
                }
                block.push(u8::try_from(length).expect("7 bits"));
            }
            block.extend(text.as_bytes());
        }
    }
    let length = u32::try_from(block.len()).expect("a small frame").to_be_bytes();
    let mut frame = length[1..].to_vec();
    // HEADERS, END_STREAM and END_HEADERS, stream 1.
    frame.extend([1, 5, 0, 0, 0, 1]);
    frame.extend(block);
    frame
}

#[tokio::test]
async fn revoked_session_frees_the_slot_of_a_stalled_client() {
    let app = App::with(|config| {
        config.limits.streams_per_user = 1;
        // Longer than this test, because the client does not answer PINGs.
        config.server.header_timeout_seconds = 60;
    })
    .await;
    let viewer = app.caller(Role::Viewer).await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let token = viewer.token.clone().expect("a token");
    // HTTP/2 with an empty window: the server cannot send a byte of the body.
    let mut socket = TcpStream::connect(app.address).await.expect("a connection");
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    hello.extend(headers(&app, &format!("/v1/topologies/{topology}/stream"), &token));
    socket.write_all(&hello).await.expect("a request");
    until("slot taken", async || app.gateway.limits.open_slots() == 1).await;
    let me = viewer.me().await;
    let path = format!("/v1/users/{}/revoke", me["id"].as_str().expect("an id"));
    app.log_in("admin").await.call(Method::POST, &path, None).await.ok();
    app.slots_freed().await;
    let mut rest = [0; 16];
    assert_ne!(soon("frame", socket.read(&mut rest)).await.expect("bytes"), 0, "still connected");
    drop(socket);
    app.finish().await;
}
