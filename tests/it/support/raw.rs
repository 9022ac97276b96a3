//! Requests as bytes, and a full check of problem documents.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{app::App, caller::Answer, waiting::soon};

/// Checks that the response is a problem document with this status and kind, and without internal details. Returns its
/// `detail`.
#[track_caller]
pub fn problem(answer: Answer, status: u16, kind: &str) -> String {
    let body = answer.body.clone();
    let detail = answer.problem(status);
    assert_eq!(body["type"], format!("https://streamgate.dev/problems/{kind}"), "{body}");
    let mut names: Vec<_> = body.as_object().expect("an object").keys().cloned().collect();
    names.retain(|name| name != "retry_after_seconds");
    names.sort();
    assert_eq!(names, ["detail", "instance", "status", "title", "type"]);
    let text = body.to_string().to_lowercase();
    for inner in ["src/", ".rs", "panicked", "poem", "sqlx", "sea_orm", "dberr", "select ", "table"]
    {
        assert!(!text.contains(inner), "{inner}: {text}");
    }
    detail
}

/// Sends bytes and reads until the server closes the connection.
pub async fn raw(app: &App, request: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(app.address).await.expect("a connection");
    socket.write_all(request).await.expect("a request");
    let mut bytes = Vec::new();
    soon("end", socket.read_to_end(&mut bytes)).await.expect("an answer");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.get(9..12)).expect("a status");
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").expect("a header");
        (name.parse().expect("a name"), value.parse().expect("a value"))
    });
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
    Answer { status: status.parse().expect("digits"), headers: headers.collect(), body }
}

/// A request head with these lines and `Connection: close`.
pub fn head(method: &str, path: &str, lines: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n")
}
