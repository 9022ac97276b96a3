//! Limits of the operating system.

use std::{io, process::Stdio, time::Duration};

use streamgate::server;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::server::{
    gate::{BOUND, endpoint, settings},
    http::{get, read_until},
};

/// accept(2) fails on a connected socket (EINVAL).
#[tokio::test]
async fn broken_listener_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (connected, _) = listener.accept().await.unwrap();
    client.write_u8(0).await.unwrap();
    let broken = std::os::fd::OwnedFd::from(connected.into_std().unwrap());
    let broken = TcpListener::from_std(broken.into()).unwrap();
    let (told, _events) = mpsc::unbounded_channel();
    let endpoint = endpoint(told, watch::channel(false).1);
    let served = server::serve(broken, endpoint, settings(), CancellationToken::new());
    let error = timeout(BOUND, served).await.expect("still trying").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn descriptor_limit_is_raised_to_the_hard_limit() {
    // A limit of one below the hard limit does not disturb the tests that run at the same time.
    let (_, hard) = rlimit::Resource::NOFILE.get().unwrap();
    rlimit::Resource::NOFILE.set(hard - 1, hard).unwrap();
    assert_eq!(server::raise_descriptor_limit().unwrap(), hard);
    assert_eq!(rlimit::Resource::NOFILE.get().unwrap(), (hard, hard));
}

/// The server is a separate process, so that its limit does not apply to other tests.
#[tokio::test]
async fn running_out_of_descriptors_does_not_stop_the_server() {
    let data = tempfile::tempdir().unwrap();
    let mut child = tokio::process::Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" serve --listen 127.0.0.1:0 --data-dir \"$1\""])
        .arg(env!("CARGO_BIN_EXE_streamgate"))
        .arg(data.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let port: u16 = loop {
        let line = timeout(BOUND, said.next_line()).await.unwrap().unwrap().unwrap();
        if let Some((_, port)) = line.split_once("http://127.0.0.1:") {
            break port.parse().unwrap();
        }
    };
    let mut clients = Vec::new();
    for _ in 0..80 {
        clients.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    let mut complaints = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = timeout(BOUND, complaints.next_line()).await.unwrap().unwrap().unwrap();
        if line.contains("cannot accept connections") {
            break;
        }
    }

    // The last connection waits, and the server uses little CPU meanwhile.
    let before = cpu_ticks(&child);
    let mut last = clients.pop().unwrap();
    last.write_all(get("/health/live").as_bytes()).await.unwrap();
    timeout(Duration::from_secs(1), last.read_u8()).await.expect_err("not out of descriptors");
    let used = cpu_ticks(&child) - before;
    assert!(used < 30, "{used} ticks of 100 in a second");

    drop(clients);
    read_until(&mut last, "{\"status\":\"up\"}").await;
}

/// User and system time (proc(5), fields 14 and 15 of stat; the name in field 2 has no space).
fn cpu_ticks(child: &tokio::process::Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id().unwrap())).unwrap();
    let ticks = stat.split(' ').skip(13).take(2);
    ticks.map(|field| field.parse::<u64>().unwrap()).sum()
}
