//! SIGHUP: the settings that are read again, and the lines of the log about all other settings.

use std::{fs, path::Path};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};

use crate::support::{
    Store, id_of,
    process::{ADMIN, Process, streamgate},
    soon, tls, until,
};

#[tokio::test]
async fn log_filter_is_reloaded_and_other_changed_keys_are_named() {
    let store = Store::new().await;
    let file = store.directory.path().join("streamgate.toml");
    let write = |text: &str| fs::write(&file, text).expect("a file");
    write("log.filter = 'info'\n");
    let mut serve = streamgate(&store, ["serve", "--config", "streamgate.toml"]);
    let process = Process::start(serve.env("STREAMGATE_ADMIN_PASSWORD", ADMIN)).await;
    let admin = process.log_in("admin", ADMIN).await;
    let id = id_of(&admin.post("/v1/topologies", json!({ "name": "lab" })).await.ok());
    let mut reader = admin.watch(id, "").await;
    reader.expect("snapshot").await;

    process.signal("HUP").await;
    process.logs("log.filter: unchanged").await;
    speak_nonsense(&process).await;
    assert!(!process.err.so_far().contains("DEBUG"));

    write(
        "log.filter = 'debug'\nlimits.streams_per_user = 3\n\
         tokens.issuer = 'a-new-issuer'\nserver.drain_seconds = 10\n",
    );
    process.signal("HUP").await;
    process.logs("log.filter: changed").await;
    process.logs("that need a restart: tokens.issuer, limits.streams_per_user\n").await;
    speak_nonsense(&process).await;
    process.logs("DEBUG").await;

    for (broken, part) in [
        ("log.filter = 'streamgate=loud'\n", "log.filter"),
        ("log.filter = 'warn'\nlimits.stream_per_user = 3\n", "limits.stream_per_user"),
        ("log.filter = ", "not valid TOML"),
    ] {
        write(broken);
        process.signal("HUP").await;
        until(part, async || {
            let log = process.err.so_far();
            let mut lines = log.lines().filter(|line| line.contains("WARN"));
            lines.any(|line| line.contains("configuration was not reloaded") && line.contains(part))
        })
        .await;
    }
    fs::remove_file(&file).expect("the file");
    process.signal("HUP").await;
    process.logs("cannot be read").await;

    // The filter is still `debug`, and the old limits still apply.
    admin.set_status(id, "deploying").await.ok();
    reader.expect("status").await;
    write("log.filter = 'info'\n");
    process.signal("HUP").await;
    process.logs("from=\"debug\" to=\"info\"").await;
    drop(reader);
    let log = process.stop().await;
    assert!(!log.contains("a-new-issuer"), "{log}");
    store.remove().await;
}

/// A configuration file that cannot be read to its end, as on a mount that hangs.
#[tokio::test]
async fn configuration_file_that_hangs_blocks_no_request_and_no_shutdown() {
    let store = Store::new().await;
    let file = store.directory.path().join("streamgate.toml");
    fs::write(&file, "log.filter = 'info'\n").expect("a file");
    let mut serve = streamgate(&store, ["serve", "--config", "streamgate.toml"]);
    let process = Process::start(serve.env("STREAMGATE_ADMIN_PASSWORD", ADMIN)).await;
    fs::remove_file(&file).expect("the file");
    let made = Command::new("mkfifo").arg(&file).status().await.expect("mkfifo");
    assert!(made.success());
    process.signal("HUP").await;
    process.signal("USR1").await;
    process.logs("SIGUSR1 is ignored").await;
    process.anyone().get("/health/live").await.ok();
    process.stop().await;
    store.remove().await;
}

/// A client that trusts the certificate of this directory and keeps no connection open.
fn client(files: &tempfile::TempDir) -> reqwest::Client {
    let client = reqwest::Client::builder().tls_certs_only([tls::trusted(files)]);
    client.pool_max_idle_per_host(0).build().expect("a client")
}

fn copy(name: &str, from: &Path, to: &Path) {
    fs::copy(from.join(name), to.join(name)).expect("a copy");
}

#[tokio::test]
async fn certificate_is_reloaded_while_a_stream_stays_open() {
    let store = Store::new().await;
    let (old, new, live) = (tls::certificate(), tls::certificate(), tempfile::tempdir().unwrap());
    let install = |name: &str, from: &tempfile::TempDir| copy(name, from.path(), live.path());
    install("cert.pem", &old);
    install("key.pem", &old);
    let mut serve = streamgate(&store, ["serve"]);
    serve
        .env("STREAMGATE_ADMIN_PASSWORD", ADMIN)
        .env("STREAMGATE_SERVER__TLS_CERTIFICATE", live.path().join("cert.pem"))
        .env("STREAMGATE_SERVER__TLS_KEY", live.path().join("key.pem"));
    let process = Process::start(&mut serve).await;
    let url = |path: &str| format!("https://localhost:{}{path}", process.address.port());
    let answers = async |files| client(files).get(url("/health/live")).send().await.is_ok();

    let before = client(&old);
    let login = json!({ "username": "admin", "password": ADMIN });
    let request = before.post(url("/v1/auth/login")).json(&login);
    let tokens: Value = request.send().await.expect("a response").json().await.expect("JSON");
    let token = tokens["access_token"].as_str().expect("an access token").to_owned();
    let create = before.post(url("/v1/topologies")).bearer_auth(&token);
    let create = create.json(&json!({ "name": "lab" })).send().await.expect("a response");
    let id = id_of(&create.json().await.expect("JSON"));
    let stream = before.get(url(&format!("/v1/topologies/{id}/stream"))).bearer_auth(&token);
    let mut stream = stream.send().await.expect("a response").bytes_stream();
    let mut expect = async |part: &str| {
        let mut seen = String::new();
        while !seen.contains(part) {
            let bytes = soon(part, stream.next()).await.expect("more").expect("no error");
            seen.push_str(str::from_utf8(&bytes).expect("UTF-8"));
        }
    };
    expect("event: snapshot").await;

    process.signal("HUP").await;
    process.logs("TLS certificate: unchanged").await;

    // One file of the new pair, then an incomplete file.
    install("cert.pem", &new);
    process.signal("HUP").await;
    process.logs("does not match the certificate").await;
    fs::write(live.path().join("key.pem"), "-----BEGIN PRIVATE KEY-----\nMIG").expect("a file");
    process.signal("HUP").await;
    process.logs("cannot read a private key").await;
    assert!(answers(&old).await && !answers(&new).await, "the old pair stays in use");

    // After an error, the pair in use does not count as new.
    install("cert.pem", &old);
    install("key.pem", &old);
    process.signal("HUP").await;
    until("message about the old pair", async || {
        let log = process.err.so_far();
        assert!(!log.contains("renewed"), "{log}");
        log.matches("TLS certificate: unchanged").count() == 2
    })
    .await;

    install("cert.pem", &new);
    install("key.pem", &new);
    process.signal("HUP").await;
    process.logs("TLS certificate: renewed").await;
    assert!(answers(&new).await && !answers(&old).await);
    let status = client(&new).post(url(&format!("/v1/topologies/{id}/status")));
    let status = status.bearer_auth(&token).json(&json!({ "status": "deploying" }));
    assert!(status.send().await.expect("a response").status().is_success());
    expect("event: status").await;
    process.signal("TERM").await;
    expect("event: stream.closed").await;
    process.ended().await;
    store.remove().await;
}

/// Sends bytes that are not a request, and waits for the end of the connection. The server logs
/// such bytes at `debug`.
async fn speak_nonsense(process: &Process) {
    let mut socket = TcpStream::connect(process.address).await.expect("a connection");
    socket.write_all(b"\x00\r\n\r\n").await.expect("nonsense");
    let mut answer = Vec::new();
    soon("end", socket.read_to_end(&mut answer)).await.expect("a response");
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
}
