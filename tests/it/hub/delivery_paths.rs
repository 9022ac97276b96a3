//! The delivery paths of a stream (its own socket or a response body) send the same bytes.

use std::{sync::Arc, time::Duration};

use streamgate::{
    api,
    event::{Family, Topic},
    limit::ConnectionLimits,
    server,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::support::{App, Caller, events::note, soon, tls, topology::app_with_topology, until};

/// The body without the `retry` value, which differs from stream to stream.
fn without_retry(body: &str) -> String {
    let lines = body.split('\n');
    lines
        .map(|line| if line.starts_with("retry: ") { "retry: N" } else { line })
        .collect::<Vec<_>>()
        .join("\n")
}

/// A protocol with which a test reads a whole stream.
#[derive(Clone, Copy, Debug)]
enum Protocol {
    Http11,
    Http10,
    Http2,
    Tls,
}

/// Another listener of the same gateway, which speaks TLS.
struct Secure {
    client: reqwest::Client,
    origin: String,
    stop: CancellationToken,
    ended: JoinHandle<std::io::Result<()>>,
}

impl Secure {
    async fn start(app: &App) -> Self {
        let files = tls::certificate();
        let path = |name| files.path().join(name);
        let settings = server::Settings {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            unread_limit: 16 << 20,
            connections: ConnectionLimits { total: 100, per_address: 100, exempt: Vec::new() },
            head_limit: 8192,
            drain: Duration::from_secs(10),
            tls: Some(server::tls(&path("cert.pem"), &path("key.pem")).expect("a key")),
            error_body: api::refusal,
            telemetry: Arc::clone(&app.gateway.telemetry),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let stop = CancellationToken::new();
        let serving = server::serve(listener, api::endpoint(&app.gateway), settings, stop.clone());
        let client = reqwest::Client::builder().tls_certs_only([tls::trusted(&files)]);
        Self {
            client: client.http1_only().build().expect("a client"),
            origin: format!("https://localhost:{port}"),
            stop,
            ended: tokio::spawn(serving),
        }
    }

    async fn finish(self) {
        self.stop.cancel();
        soon("end", self.ended).await.expect("no panic").expect("a clean end");
    }
}

/// Starts to read the whole body.
fn read(
    app: &App,
    secure: &Secure,
    caller: &Caller,
    protocol: Protocol,
    path: &str,
) -> JoinHandle<String> {
    let token = caller.token.clone().expect("a token");
    let (address, path) = (app.address, path.to_owned());
    let version = match protocol {
        Protocol::Http2 => {
            let client = reqwest::Client::builder().http2_prior_knowledge();
            let request = client.build().expect("a client").get(app.url(&path)).bearer_auth(token);
            return tokio::spawn(whole(request, reqwest::Version::HTTP_2));
        }
        Protocol::Tls => {
            let request = secure.client.get(secure.origin.clone() + &path).bearer_auth(token);
            return tokio::spawn(whole(request, reqwest::Version::HTTP_11));
        }
        Protocol::Http10 => "1.0",
        Protocol::Http11 => "1.1",
    };
    let request = format!(
        "GET {path} HTTP/{version}\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    tokio::spawn(async move {
        let mut socket = TcpStream::connect(address).await.expect("a connection");
        socket.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = Vec::new();
        soon("body", socket.read_to_end(&mut answer)).await.expect("a body");
        let answer = String::from_utf8(answer).expect("UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with(&format!("HTTP/{version} 200 ")), "{head}");
        let is_chunked = head.contains("transfer-encoding: chunked");
        assert_eq!(is_chunked, matches!(protocol, Protocol::Http11), "{head}");
        if is_chunked { without_chunks(body) } else { body.to_owned() }
    })
}

async fn whole(request: reqwest::RequestBuilder, version: reqwest::Version) -> String {
    let answer = soon("response", request.send()).await.expect("a response");
    assert_eq!(answer.version(), version);
    soon("body", answer.text()).await.expect("a body")
}

/// Decodes a whole chunked body. Nothing may follow the last chunk.
fn without_chunks(mut body: &str) -> String {
    let mut text = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        let (chunk, rest) = rest.split_at(size);
        text.push_str(chunk);
        body = rest.strip_prefix("\r\n").expect("the end of a chunk");
        if size == 0 {
            assert_eq!(body, "", "bytes after the last chunk");
            return text;
        }
    }
}

#[tokio::test]
async fn every_delivery_path_sends_the_same_bytes() {
    for io_uring in [false, true] {
        let (app, operator, topology) = app_with_topology(|config| {
            config.streams.io_uring = io_uring;
            // Small enough that some events come from the log.
            config.streams.buffer_events = 4;
        })
        .await;
        let secure = Secure::start(&app).await;
        let page = operator.get(&format!("/v1/topologies/{topology}/events?limit=1")).await.ok();
        let first = page["next"].as_str().expect("a cursor").to_owned();
        let topic = Topic::new(Family::Topology, topology);
        let notes = |numbers: std::ops::Range<u64>| numbers.map(|n| note(n, 100)).collect();
        app.gateway.hub.publish(topic.clone(), notes(0..20)).await.expect("a commit");

        let path = format!("/v1/topologies/{topology}/stream?");
        let resumed = format!("{path}last_event_id={first}");
        // Two streams end with the terminal event, one from the start and one from a cursor. One
        // ends after a number of events, and one begins with a reset.
        let queries = [
            path.clone(),
            resumed.clone(),
            format!("{resumed}&max_events=30"),
            format!("{path}last_event_id=x"),
        ];
        let mut readings = Vec::new();
        for query in &queries {
            for protocol in [
                Protocol::Http11,
                Protocol::Http11,
                Protocol::Http11,
                Protocol::Http10,
                Protocol::Http2,
                Protocol::Tls,
            ] {
                readings.push((query, protocol, read(&app, &secure, &operator, protocol, query)));
            }
        }
        let open = "streamgate_streams_open{family=\"topology\"}";
        until("streams open", async || app.metric(open) > 23.0).await;
        for number in 0..30 {
            app.gateway.hub.publish(topic.clone(), vec![note(number, 50)]).await.expect("a commit");
        }
        app.gateway.hub.publish(topic, notes(30..60)).await.expect("a commit");
        operator.tear_down(topology).await;
        let mut expected: Option<(&String, String)> = None;
        for (query, protocol, reading) in readings {
            let body = without_retry(&reading.await.expect("a body"));
            assert_eq!(body.contains("stream.closed"), !query.contains("max_events"), "{body}");
            match &expected {
                Some((same, expected)) if *same == query => {
                    assert_eq!(body, *expected, "{protocol:?} {query}");
                }
                _ => expected = Some((query, body)),
            }
        }
        secure.finish().await;
        app.finish().await;
    }
}
