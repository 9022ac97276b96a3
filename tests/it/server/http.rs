//! HTTP/1.1 and HTTP/2 on raw sockets, because a client library would hide these cases.

use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use crate::server::gate::BOUND;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A `SETTINGS` frame without settings.
pub const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Reads until the received text ends with `end`.
pub async fn read_until(client: &mut TcpStream, end: &str) -> String {
    let mut got = Vec::new();
    while !got.ends_with(end.as_bytes()) {
        let read = timeout(BOUND, client.read_buf(&mut got)).await.unwrap();
        assert_ne!(read.unwrap(), 0, "closed after {:?}", String::from_utf8_lossy(&got));
    }
    String::from_utf8(got).unwrap()
}

/// Reads to the end, which must be a FIN.
pub async fn read_to_end(client: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    let read = timeout(BOUND, client.read_to_end(&mut got)).await;
    read.expect("still open").unwrap();
    got
}

/// An HTTP/2 frame on stream `id` (RFC 9113 section 4.1).
pub fn frame(kind: u8, flags: u8, id: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, id], payload].concat()
}

/// A HEADERS frame with a GET of `path`, in HPACK without Huffman coding (RFC 7541).
pub fn ask(path: &str) -> Vec<u8> {
    const END_STREAM_AND_HEADERS: u8 = 0x5;
    let length = u8::try_from(path.len()).unwrap();
    let fields = [&[0x82, 0x86, 0x41, 1, b'x', 0x44, length], path.as_bytes()].concat();
    frame(1, END_STREAM_AND_HEADERS, 1, &fields)
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

pub fn h1() -> reqwest::Client {
    reqwest::Client::builder().timeout(BOUND).build().unwrap()
}

pub fn h2c() -> reqwest::Client {
    let client = reqwest::Client::builder().timeout(BOUND);
    client.http2_prior_knowledge().build().unwrap()
}

pub async fn read_until_bytes(client: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut got = Vec::new();
    while !got.ends_with(end) {
        let read = timeout(BOUND, client.read_buf(&mut got)).await.unwrap();
        assert_ne!(read.unwrap(), 0, "closed after {got:?}");
    }
    got
}

/// Kind, stream and payload of the next frame of HTTP/2.
pub async fn read_frame(client: &mut TcpStream) -> (u8, u8, Vec<u8>) {
    let mut head = [0; 9];
    timeout(BOUND, client.read_exact(&mut head)).await.expect("no frame").expect("closed");
    let [a, b, c, kind, _, _, _, _, id] = head;
    let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
    timeout(BOUND, client.read_exact(&mut payload)).await.unwrap().unwrap();
    (kind, id, payload)
}
