//! A client that disconnects while the gateway works for it.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sea_orm::ConnectionTrait;
use tokio::net::TcpStream;

use crate::support::{App, topology::operator_with_topology};

#[tokio::test]
async fn change_continues_after_its_client_disconnects() {
    // Without the delivery after the commit, the event would come with the next heartbeat.
    let app = App::with(|config| config.streams.heartbeat_seconds = 300).await;
    let (operator, topology) = operator_with_topology(&app).await;
    let mut reader = operator.watch(topology, "").await;
    reader.expect("snapshot").await;

    // The change waits for this transaction.
    let tx = app.gateway.database.begin_write().await.expect("a transaction");
    tx.execute_unprepared("UPDATE topology SET version = version").await.expect("a lock");

    let socket = TcpStream::connect(app.address).await.expect("a connection");
    let (mut client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.expect("a handshake");
    let connection = tokio::spawn(connection);
    let request = |method: &str, path: &str, body: &'static str| {
        Request::builder()
            .method(method)
            .uri(app.url(path))
            .header(
                "authorization",
                format!("Bearer {}", operator.token.as_deref().expect("a token")),
            )
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_static(body.as_bytes())))
            .expect("a request")
    };
    let path = format!("/v1/topologies/{topology}/status");
    let change = client.send_request(request("POST", &path, r#"{"status": "degraded"}"#));
    // HTTP/2 keeps the order of requests and resets. After the first probe, the gateway works on the change. After the
    // second probe, it knows that the client no longer waits for the response.
    let probe = async |client: &mut http2::SendRequest<_>| {
        let response = client.send_request(request("GET", "/health/live", "")).await;
        assert_eq!(response.expect("a response").status(), 200);
    };
    probe(&mut client).await;
    drop(change);
    probe(&mut client).await;
    connection.abort();

    tx.rollback().await.expect("a rollback");
    let event = reader.expect("status").await;
    assert_eq!(event.data["to"], "degraded");
    drop(reader);
    app.finish().await;
}
