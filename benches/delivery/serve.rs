//! streamgate itself, with a second listener that lets the benchmark publish and log in.
//!
//! The streams go through all of it: authentication, limits, existence, snapshot. What is published
//! through `/publish` skips the database, because what follows the commit is what is measured;
//! `/durable` does not. Agents publish on prompts over the API, as they do anywhere.

use std::{io::Write, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use entity::{Timestamp, conversation, prompt, session, topology, user};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel};
use streamgate::{
    auth::token::Opens,
    bus::InProcessBus,
    clock::Machine,
    config::Config,
    event::{Cursor, Event, Family, NewEvent, Topic},
    gateway::Gateway,
};
use tokio::{io::AsyncReadExt, net::TcpListener, sync::Mutex};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    event,
    server::{CONTROL, LISTENING},
};

/// A way to set streamgate up.
pub(crate) struct Variant {
    /// What the tables call it.
    pub(crate) name: &'static str,
    change: fn(&mut Config),
}

/// Each is a peer of its own in every table; the first is the one that is tested most.
pub(crate) const VARIANTS: &[Variant] = &[
    Variant { name: "streamgate", change: |_| {} },
    Variant { name: "streamgate, io_uring", change: |config| config.streams.io_uring = true },
    Variant { name: "streamgate, PostgreSQL", change: |config| config.database.url = postgres() },
];

/// The variant that is compared only where the database counts.
pub(crate) const ON_POSTGRES: usize = 2;

/// The database that `benches/run` has started for this, with nothing in it.
pub(crate) fn postgres() -> Option<String> {
    std::env::var("BENCH_POSTGRES_URL").ok()
}

/// Topics that can be subscribed to.
pub(crate) const TOPICS: usize = 1_000;
/// Prompts that can be published on.
const PROMPTS: usize = 64;
/// Users with a session each.
const USERS: usize = 1_000;
/// More than anybody does here: limits are not what is measured.
const UNLIMITED: u32 = 1_000_000;
/// Rows in one `INSERT`.
const ROWS: usize = 500;
/// For a stream token to be used.
const TOKEN_LIFE: Duration = Duration::from_hours(1);

/// What the control listener works on.
struct Control {
    gateway: Arc<Gateway>,
    topics: Vec<Watched>,
    /// Paths to publish on.
    prompts: Vec<String>,
    /// User and session.
    logins: Vec<(Uuid, Uuid)>,
}

struct Watched {
    id: Uuid,
    topic: Topic,
    /// The newest event. Locked until it is delivered, so that events keep their order.
    newest: Mutex<Cursor>,
}

fn configuration(directory: &Path, variant: usize) -> anyhow::Result<Config> {
    let mut config = Config::for_data_dir(directory);
    let limits = &mut config.limits;
    limits.streams_per_user = UNLIMITED;
    limits.requests_per_minute = UNLIMITED;
    limits.stream_opens_per_minute = UNLIMITED;
    // A round of one peer must not be disturbed by the heartbeats of another's idle streams. Nor may
    // the log be compared with what was delivered: it does not have the events of `publish`.
    config.streams.heartbeat_seconds = 86_400;
    config.retention.sweep_seconds = 86_400;
    config.tokens.access_seconds = 86_400;
    (VARIANTS.get(variant).context("no such variant")?.change)(&mut config);
    Ok(config)
}

/// Serves until nobody holds the other end of its input.
pub(crate) async fn run(directory: &Path, variant: usize) -> anyhow::Result<()> {
    let config = configuration(directory, variant)?;
    let bus = Arc::new(InProcessBus::default());
    let gateway = streamgate::start::start(config, bus, Arc::new(Machine), None).await?;
    let (topics, logins) = (topics(&gateway).await?, logins(&gateway).await?);
    let prompts = prompts(&gateway, logins[0].0).await?;
    let streams = TcpListener::bind("127.0.0.1:0").await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{CONTROL}{}", listener.local_addr()?)?;
    writeln!(std::io::stdout(), "{LISTENING}{}", streams.local_addr()?)?;
    let control = Arc::new(Control { gateway: Arc::clone(&gateway), topics, prompts, logins });
    tokio::select! {
        served = streamgate::serve(gateway, streams, CancellationToken::new()) => Ok(served?),
        controlled = accept(listener, control) => controlled,
        () = input_ends() => Ok(()),
    }
}

/// Waits until nobody holds the other end of this program's input.
pub(crate) async fn input_ends() {
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
}

async fn topics(gateway: &Gateway) -> anyhow::Result<Vec<Watched>> {
    let now = Timestamp::now();
    let rows = (0..TOPICS).map(|i| topology::Model {
        id: Uuid::now_v7(),
        name: format!("bench-{i}"),
        mode: "standard".to_owned(),
        config: serde_json::Map::new().into(),
        status: topology::Status::Active,
        status_changed_at: now,
        version: 1,
        created_at: now,
    });
    let rows: Vec<topology::Model> = rows.collect();
    let tx = gateway.database.begin_write().await?;
    let mut topics = Vec::with_capacity(TOPICS);
    for rows in rows.chunks(ROWS) {
        let models = rows.iter().cloned().map(IntoActiveModel::into_active_model);
        topology::Entity::insert_many(models).exec_without_returning(&tx).await?;
    }
    for row in &rows {
        let topic = Topic::new(Family::Topology, row.id);
        gateway.hub.log().create(&tx, &topic).await?;
        let newest = Mutex::new(gateway.hub.log().position(&tx, &topic).await?);
        topics.push(Watched { id: row.id, topic, newest });
    }
    tx.commit().await?;
    Ok(topics)
}

/// Users who are logged in. Nobody checks their passwords here, which would cost 19 MiB each.
async fn logins(gateway: &Gateway) -> anyhow::Result<Vec<(Uuid, Uuid)>> {
    let now = Timestamp::now();
    let logins: Vec<_> = (0..USERS).map(|_| (Uuid::now_v7(), Uuid::now_v7())).collect();
    let tx = gateway.database.begin_write().await?;
    for (part, logins) in logins.chunks(ROWS).enumerate() {
        let users = logins.iter().enumerate().map(|(i, (user, _))| user::Model {
            id: *user,
            username: format!("bench-{}", part * ROWS + i),
            password_hash: "none".to_owned(),
            // Watches, and may publish.
            role: user::Role::Agent,
            disabled: false,
            created_at: now,
        });
        let users = users.map(IntoActiveModel::into_active_model);
        user::Entity::insert_many(users).exec_without_returning(&tx).await?;
        let sessions = logins.iter().map(|(user, session)| session::Model {
            id: *session,
            user_id: *user,
            created_at: now,
            expires_at: now + gateway.sessions.life(),
            revoked_at: None,
        });
        let sessions = sessions.map(IntoActiveModel::into_active_model);
        session::Entity::insert_many(sessions).exec_without_returning(&tx).await?;
    }
    tx.commit().await?;
    Ok(logins)
}

/// Prompts that are being answered and that nobody has claimed, in one conversation.
async fn prompts(gateway: &Gateway, owner: Uuid) -> anyhow::Result<Vec<String>> {
    let now = Timestamp::now();
    let tx = gateway.database.begin_write().await?;
    let id = Uuid::now_v7();
    let conversation = conversation::Model { id, owner, name: String::new(), created_at: now };
    conversation.into_active_model().insert(&tx).await?;
    let mut paths = Vec::with_capacity(PROMPTS);
    for _ in 0..PROMPTS {
        let row = prompt::Model {
            id: Uuid::now_v7(),
            conversation_id: id,
            owner,
            text: String::new(),
            status: prompt::Status::Processing,
            attempt: 0,
            created_at: now,
            updated_at: now,
            completed_at: None,
            lease_token: None,
            lease_expires_at: None,
            lease_clock: None,
            lease_seconds: 0,
            claim_seq: 0,
        };
        paths.push(format!("/v1/sessions/{id}/prompts/{}/events", row.id));
        gateway.hub.log().create(&tx, &Topic::new(Family::Prompt, row.id)).await?;
        row.into_active_model().insert(&tx).await?;
    }
    tx.commit().await?;
    Ok(paths)
}

async fn accept(listener: TcpListener, control: Arc<Control>) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let control = Arc::clone(&control);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(&control, request));
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
        });
    }
}

async fn answer(
    control: &Control,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let query = |name: &str| {
        let pairs = head.uri.query().unwrap_or_default().split('&');
        let found = pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
        found.and_then(|(_, value)| value.parse::<usize>().ok())
    };
    let (what, which) = head.uri.path()[1..].split_once('/').unwrap_or((&head.uri.path()[1..], ""));
    let text = if head.method == Method::POST {
        let data = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
        let watched = control.topics.get(which.parse::<usize>()?).context("no such topic")?;
        match what {
            "publish" => control.publish(watched, data).await,
            _ => control.publish_durably(watched, query("count").unwrap_or(1)).await?,
        }
        String::new()
    } else if what == "prompts" {
        control.prompts()
    } else {
        let number = |name| query(name).with_context(|| format!("{name}=NUMBER is missing"));
        control.targets(number("n")?, number("first")?, number("topics")?, what == "bearers")
    };
    Ok(Response::new(text.into()))
}

impl Control {
    /// Delivers one event as if it had just been committed.
    async fn publish(&self, watched: &Watched, data: String) {
        let mut newest = watched.newest.lock().await;
        newest.seq += 1;
        let event = Event {
            topic: watched.topic.clone(),
            cursor: *newest,
            prior_nonce: newest.nonce,
            kind: "bench".to_owned(),
            data,
            terminal: false,
            at: Timestamp::now(),
        };
        self.gateway.hub.deliver(&[event]);
        // As publishers are that commit.
        self.gateway.hub.wait_for_capacity(&watched.topic).await;
    }

    /// Publishes `count` events the whole way; returns after the commit.
    async fn publish_durably(&self, watched: &Watched, count: usize) -> anyhow::Result<()> {
        let event = NewEvent { kind: "bench".to_owned(), data: event::data(0), terminal: false };
        self.gateway.hub.publish(watched.topic.clone(), vec![event; count]).await?;
        Ok(())
    }

    /// Prompts to publish on, in the form of [`crate::client::Publish::targets`], for one agent.
    fn prompts(&self) -> String {
        let (user, session) = self.logins[0];
        let (token, _) = self.gateway.tokens.access(user, session);
        let target = |path: &String| format!("{path}\tBearer {token}\n");
        self.prompts.iter().map(target).collect()
    }

    /// `count` streams to open, in the form of [`crate::client::Open::targets`], over `topics`
    /// topics from `first` on. With access tokens of all users, or with a stream token each.
    fn targets(&self, count: usize, first: usize, topics: usize, bearers: bool) -> String {
        let access: Vec<String> = if bearers {
            let token =
                |(user, session): &(Uuid, Uuid)| self.gateway.tokens.access(*user, *session).0;
            self.logins.iter().map(token).collect()
        } else {
            Vec::new()
        };
        let target = |i: usize| {
            let number = first + i % topics;
            let Watched { id, topic, .. } = &self.topics[number % TOPICS];
            let path = format!("/v1/topologies/{id}/stream");
            if bearers {
                return format!("{number}\t{path}\tBearer {}\n", access[i % access.len()]);
            }
            let (user, session) = self.logins[i % self.logins.len()];
            let opens = Opens::One(topic.to_string());
            let (token, _) = self.gateway.tokens.stream(user, session, opens, TOKEN_LIFE);
            format!("{number}\t{path}?stream_token={token}\t\n")
        };
        (0..count).map(target).collect()
    }
}
