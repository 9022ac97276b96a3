//! A caller that is cancelled while PostgreSQL begins its transaction.

use std::sync::Arc;

use entity::topic;
use sea_orm::{ConnectionTrait, Database as Direct, EntityTrait, PaginatorTrait};
use streamgate::database::Database;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

use crate::support::{Store, soon};

/// The way in which the proxy handles the responses of PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    Pass,
    /// Passes responses until a client begins a transaction.
    UntilBegin,
    /// Holds responses back: a `BEGIN` was sent, and its response does not arrive.
    Wait,
}

/// A proxy in front of PostgreSQL that holds responses back on request.
struct Proxy {
    url: String,
    answers: Arc<watch::Sender<Answers>>,
}

impl Proxy {
    async fn before(server: &str) -> Self {
        let (before, rest) = server.split_once("://").expect("a scheme");
        let (authority, path) = rest.split_once('/').expect("a database");
        let (user, host) = authority.rsplit_once('@').expect("a user");
        let host = host.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let answers = Arc::new(watch::Sender::new(Answers::Pass));
        let switch = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&host).await.expect("PostgreSQL");
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(ask(from_client, to_server, Arc::clone(&switch)));
                tokio::spawn(answer(from_server, to_client, switch.subscribe()));
            }
        });
        Self { url: format!("{before}://{user}@{address}/{path}"), answers }
    }

    async fn reached(&self, state: Answers) {
        let mut answers = self.answers.subscribe();
        soon("BEGIN", answers.wait_for(|now| *now == state)).await.expect("a proxy");
    }
}

async fn ask(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    state: Arc<watch::Sender<Answers>>,
) {
    let mut bytes = vec![0; 65_536];
    while let Ok(length @ 1..) = client.read(&mut bytes).await {
        // The driver writes each simple query at once, so its text is not split.
        if bytes[..length].windows(5).any(|word| word == b"BEGIN") {
            state.send_if_modified(|state| {
                let held = *state == Answers::UntilBegin;
                if held {
                    *state = Answers::Wait;
                }
                held
            });
        }
        if server.write_all(&bytes[..length]).await.is_err() {
            break;
        }
    }
}

async fn answer(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    mut state: watch::Receiver<Answers>,
) {
    let mut bytes = vec![0; 65_536];
    while let Ok(length @ 1..) = server.read(&mut bytes).await {
        let gone = state.wait_for(|state| *state != Answers::Wait).await.is_err();
        if gone || client.write_all(&bytes[..length]).await.is_err() {
            break;
        }
    }
}

/// The pool must not give the next caller a connection on which a transaction is still open.
#[tokio::test]
async fn caller_cancelled_during_begin_does_not_lose_the_next_write() {
    let store = Store::new().await;
    // SQLite has no network.
    let Some(url) = store.url() else { return };
    let proxy = Proxy::before(&url).await;
    // One connection, so that the next caller gets the same one.
    let pool = Database::connect(Some(&proxy.url), store.directory.path(), 1);
    let database = soon("connection", pool).await.expect("a connection");
    soon("schema", database.migrate()).await.expect("a schema");

    proxy.answers.send_replace(Answers::UntilBegin);
    let caller = {
        let database = database.clone();
        tokio::spawn(async move { database.begin_write().await })
    };
    proxy.reached(Answers::Wait).await;
    caller.abort();
    assert!(soon("end of the caller", caller).await.expect_err("no response").is_cancelled());
    proxy.answers.send_replace(Answers::Pass);

    let write = "INSERT INTO topic (name, epoch, last_seq) VALUES ('topology.kept', 1, 0)";
    let written = soon("write", database.writer().execute_unprepared(write)).await;
    assert_eq!(written.expect("an acknowledgement").rows_affected(), 1);
    let observer = Direct::connect(&url).await.expect("PostgreSQL");
    let topics = soon("count", topic::Entity::find().count(&observer)).await;
    assert_eq!(topics.expect("a count"), 1, "the acknowledged write is missing");
    soon("close", observer.close()).await.expect("closed");
    soon("close", database.close()).await.expect("closed");
    store.remove().await;
}
