//! What the database must not lose when callers go away.

use std::sync::Arc;

use entity::{event, topic, user::Role};
use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Database as Direct, EntityTrait, PaginatorTrait, QuerySelect};
use streamgate::{
    database::Database,
    event::{Family, NewEvent, Topic},
    event_log::EventLog,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use uuid::Uuid;

use crate::{
    support::app::{App, Store, soon},
    topologies::status::topology_that_is,
};

/// What the proxy does with answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    Pass,
    /// Pass, until a client begins a transaction; pings and the like are still answered.
    UntilBegin,
    /// Wait: a `BEGIN` is on its way and will not be heard of.
    Wait,
}

/// Stands in front of PostgreSQL and keeps its answers back on command.
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
        // The driver writes each simple query in one go, so its text is not cut in two.
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

/// The pool would hand out a connection that is in a transaction of nobody's.
#[tokio::test]
async fn a_caller_who_goes_away_while_a_transaction_begins_takes_no_others_writes_along() {
    let store = Store::new().await;
    // SQLite is not behind a network.
    let Some(url) = store.url() else { return };
    let proxy = Proxy::before(&url).await;
    // One connection, so that the next caller gets the very same.
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
    assert!(soon("end of the caller", caller).await.expect_err("no answer").is_cancelled());
    proxy.answers.send_replace(Answers::Pass);

    let write = "INSERT INTO topic (name, epoch, last_seq) VALUES ('topology.kept', 1, 0)";
    let written = soon("write", database.writer().execute_unprepared(write)).await;
    assert_eq!(written.expect("an acknowledgement").rows_affected(), 1);
    let observer = Direct::connect(&url).await.expect("PostgreSQL");
    let topics = soon("count", topic::Entity::find().count(&observer)).await;
    assert_eq!(topics.expect("a count"), 1, "what was acknowledged is not there");
    soon("close", observer.close()).await.expect("closed");
    soon("close", database.close()).await.expect("closed");
    store.remove().await;
}

#[tokio::test]
async fn topics_that_had_ended_before_there_was_a_word_for_it_have_ended_after() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let ended = topology_that_is(&operator, "torn_down").await;
    let active = topology_that_is(&operator, "active").await;
    let database = &app.gateway.database;
    // Back to where topics could not end.
    let steps = Migrator::migrations().len() - 3;
    database.migrate_down(u32::try_from(steps).expect("few")).await.expect("a way back");
    database.migrate().await.expect("a way forward");
    for (id, is_over) in [(ended, true), (active, false)] {
        let topic = Topic::new(Family::Topology, id);
        let head = app.gateway.hub.log().head(&topic).await.expect("a database");
        assert_eq!(head.expect("a log").1, is_over);
        let events = vec![NewEvent::new("note", &1).expect("a kind")];
        let published = app.gateway.hub.publish(topic, events).await;
        assert_eq!(published.is_err(), is_over, "{published:?}");
    }
    app.finish().await;
}

/// An older program does not know these families and would never prune them.
#[tokio::test]
async fn with_the_tables_of_a_family_its_event_logs_go() {
    let store = Store::new().await;
    let url = store.url();
    let database = Database::connect(url.as_deref(), store.directory.path(), 2);
    let database = soon("connection", database).await.expect("a connection");
    soon("schema", database.migrate()).await.expect("a schema");
    let log = EventLog::new(database.clone(), Arc::default());
    for family in Family::ALL {
        let topic = Topic::new(family, Uuid::now_v7());
        let event = NewEvent::new("x", &1).expect("an event");
        let tx = database.begin_write().await.expect("a transaction");
        log.append(&tx, &topic, vec![event]).await.expect("an event");
        tx.commit().await.expect("a commit");
    }
    // Down to the schema that knows topologies only.
    let steps = u32::try_from(Migrator::migrations().len() - 4).expect("few");
    soon("schema", database.migrate_down(steps)).await.expect("a schema");
    // Not whole rows: the entities have columns that this schema does not know.
    let topics = topic::Entity::find()
        .select_only()
        .columns([topic::Column::Id, topic::Column::Name])
        .into_tuple::<(i64, String)>()
        .all(database.reader());
    let topics = topics.await.expect("topics");
    let families: Vec<_> = topics.iter().map(|(_, name)| name.split('.').next()).collect();
    assert_eq!(families, [Some("topology")]);
    let events = event::Entity::find()
        .select_only()
        .column(event::Column::TopicId)
        .into_tuple::<i64>()
        .all(database.reader());
    assert_eq!(events.await.expect("events"), [topics[0].0]);
    soon("close", database.close()).await.expect("closed");
    store.remove().await;
}
