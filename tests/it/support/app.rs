//! A whole streamgate for one test: a real server on a free port, a database of its own, callers of
//! every role, and a reader of streams that sees every byte.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use entity::user::Role;
use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};
use streamgate::{
    bus::{Bus, InProcessBus},
    clock::SETTLING,
    config::Config,
    gateway::Gateway,
};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{sse::SseReader, time::Time};

/// Longer than anything may take: reaching it is a failure, not a measurement.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The password of every user in these tests.
pub const PASSWORD: &str = "a password for tests";

/// Fails instead of hanging.
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("no {what} in time"))
}

/// Waits for a condition that nothing announces.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    soon(what, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A database that goes away with the test, when its last server has ended.
#[derive(Clone)]
pub struct Store {
    pub directory: Arc<TempDir>,
    /// On PostgreSQL: where to connect to, and the name of the test's own database.
    pub postgres: Option<(String, String)>,
}

impl Store {
    pub async fn new() -> Self {
        match std::env::var("TEST_DATABASE_URL") {
            Ok(server) => Self::at(server, "").await,
            Err(_) => Self { directory: directory(), postgres: None },
        }
    }

    /// On this PostgreSQL, with what comes behind `CREATE DATABASE name`.
    pub async fn at(server: String, options: &str) -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let connection = Database::connect(&server).await.expect("PostgreSQL");
        let create = format!("CREATE DATABASE {name} {options}");
        connection.execute_unprepared(&create).await.expect("CREATE");
        Self { directory: directory(), postgres: Some((server, name)) }
    }

    /// The name of the test's own database on PostgreSQL.
    pub fn database(&self) -> Option<String> {
        self.postgres.as_ref().map(|(_, name)| name.clone())
    }

    pub fn url(&self) -> Option<String> {
        let (server, name) = self.postgres.as_ref()?;
        let (base, options) = server.split_once('?').unwrap_or((server, ""));
        let (base, _) = base.rsplit_once('/').expect("a database in the URL");
        Some(format!("{base}/{name}?{options}"))
    }

    pub fn config(&self) -> Config {
        let mut config = Config::for_data_dir(self.directory.path());
        config.database.url = self.url();
        config.database.pool_size = 4;
        // Tests are not what these limits are for; those that test them set them.
        config.limits.requests_per_minute = 100_000;
        config.limits.stream_opens_per_minute = 100_000;
        config.limits.logins_per_minute_per_user = 10_000;
        config.limits.logins_per_minute_per_name = 10_000;
        config.limits.logins_per_minute_per_address = 10_000;
        config
    }

    pub async fn remove(self) {
        if Arc::strong_count(&self.directory) > 1 {
            return;
        }
        if let Some((server, name)) = &self.postgres {
            let connection = Database::connect(server).await.expect("PostgreSQL");
            let drop = format!("DROP DATABASE {name} WITH (FORCE)");
            connection.execute_unprepared(&drop).await.expect("DROP");
        }
    }
}

fn directory() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().expect("a temporary directory"))
}

/// A running streamgate.
pub struct App {
    pub address: SocketAddr,
    pub gateway: Arc<Gateway>,
    pub time: Arc<Time>,
    pub store: Option<Store>,
    pub shutdown: CancellationToken,
    pub server: Option<JoinHandle<()>>,
    pub http: reqwest::Client,
}

impl App {
    /// Makes the gateway look for expired leases now.
    pub fn look_for_expired_leases(&self) {
        for family in streamgate::event::Family::ALL {
            self.gateway.work_queue(family).next_lease_end.set(tokio::time::Instant::now());
        }
    }

    pub async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// With a configuration of its own.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(Store::new().await, Arc::new(InProcessBus::default()), change).await
    }

    /// On a database that is there already, and a given bus. The clock has been stable for long.
    pub async fn on(store: Store, bus: Arc<dyn Bus>, change: impl FnOnce(&mut Config)) -> Self {
        let time = Arc::new(Time::ago(SETTLING));
        let app = Self::at(store, bus, &time, change).await;
        time.pass(SETTLING);
        app
    }

    /// The same, when a machine has just been started.
    pub async fn at(
        store: Store,
        bus: Arc<dyn Bus>,
        time: &Arc<Time>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = store.config();
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let gateway =
            streamgate::start::start(config, bus, time.clone(), Some(PASSWORD.to_owned())).await;
        let gateway = gateway.expect("a start");
        let shutdown = CancellationToken::new();
        let service = streamgate::serve(Arc::clone(&gateway), listener, shutdown.clone());
        let server = tokio::spawn(async move { service.await.expect("a clean end") });
        let http = reqwest::Client::new();
        let time = Arc::clone(time);
        Self { address, gateway, time, store: Some(store), shutdown, server: Some(server), http }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Somebody without a credential.
    pub fn anyone(&self) -> Caller {
        Caller { http: self.http.clone(), address: self.address, token: None }
    }

    /// The same user calling here instead of at another gateway of the same database.
    pub fn here(&self, caller: &Caller) -> Caller {
        Caller { token: caller.token.clone(), ..self.anyone() }
    }

    /// A new user of this role, logged in.
    pub async fn caller(&self, role: Role) -> Caller {
        let name = format!("{}-{}", format!("{role:?}").to_lowercase(), Uuid::new_v4().simple());
        self.gateway.users.create(&name, PASSWORD.to_owned(), role).await.expect("a user");
        self.log_in(&name).await
    }

    pub async fn log_in(&self, username: &str) -> Caller {
        let tokens = self.tokens(username).await;
        let token = tokens["access_token"].as_str().expect("an access token").to_owned();
        Caller { token: Some(token), ..self.anyone() }
    }

    /// The answer to a login.
    pub async fn tokens(&self, username: &str) -> Value {
        let login = json!({ "username": username, "password": PASSWORD });
        self.anyone().post("/v1/auth/login", login).await.ok()
    }

    /// A topology that takes mutations.
    pub async fn active_topology(&self, operator: &Caller) -> Uuid {
        let new = json!({ "name": format!("t-{}", Uuid::new_v4()) });
        let topology = operator.post("/v1/topologies", new).await.ok();
        let id = id_of(&topology);
        for status in ["deploying", "active"] {
            operator.set_status(id, status).await.ok();
        }
        id
    }

    /// One sample of the metrics, 0 if it is not there.
    pub fn metric(&self, sample: &str) -> f64 {
        let text = self.gateway.telemetry.render();
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Begins to end the server.
    pub fn begin_stop(&self) {
        self.shutdown.cancel();
    }

    /// Waits until the server has ended.
    pub async fn ended(&mut self) {
        if let Some(server) = self.server.take() {
            soon("end of the server", server).await.expect("no panic");
        }
    }

    /// Ends the server, checks that nothing has leaked and removes the database. Every test's end.
    pub async fn finish(mut self) {
        until("slot freed", async || self.gateway.limits.open_slots() == 0).await;
        self.shutdown.cancel();
        self.ended().await;
        self.store.take().expect("a store").remove().await;
    }
}

/// Somebody who calls.
#[derive(Clone)]
pub struct Caller {
    pub http: reqwest::Client,
    pub address: SocketAddr,
    pub token: Option<String>,
}

/// What somebody got.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.body
    }

    /// Checks that it is a problem document of this status, and gives its detail.
    #[track_caller]
    pub fn problem(self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], status);
        let kind = self.body["type"].as_str().expect("a type");
        assert!(kind.starts_with("https://streamgate.dev/problems/"), "{kind}");
        let request = self.headers["x-request-id"].to_str().expect("an id");
        assert_eq!(self.body["instance"], format!("urn:uuid:{request}"));
        self.body["detail"].as_str().expect("a detail").to_owned()
    }
}

impl Caller {
    /// Somebody at a server that is no [`App`].
    pub fn at(address: SocketAddr, token: Option<String>) -> Self {
        Self { http: reqwest::Client::new(), address, token }
    }

    /// The user's id.
    pub async fn id(&self) -> Uuid {
        id_of(&self.get("/v1/auth/me").await.ok())
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, path);
        Self::answer(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    /// A request to be completed, for [`Caller::answer`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn answer(request: RequestBuilder) -> Answer {
        let answer = soon("answer", request.send()).await.expect("an answer");
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = soon("body", answer.text()).await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, headers, body }
    }

    pub async fn set_status(&self, topology: Uuid, status: &str) -> Answer {
        let path = format!("/v1/topologies/{topology}/status");
        self.post(&path, json!({ "status": status })).await
    }

    /// Enqueues a mutation with this number in its payload.
    pub async fn mutate(&self, topology: Uuid, number: u64) -> Answer {
        let path = format!("/v1/topologies/{topology}/mutations");
        self.post(&path, json!({ "op": "add_node", "payload": { "number": number } })).await
    }

    /// Opens the stream of a topology.
    pub async fn watch(&self, topology: Uuid, query: &str) -> SseReader {
        self.stream(&format!("/v1/topologies/{topology}/stream?{query}"), "").await
    }

    /// The same on a connection that stands.
    pub async fn watch_on(&self, socket: TcpStream, topology: Uuid, query: &str) -> SseReader {
        let path = format!("/v1/topologies/{topology}/stream?{query}");
        SseReader::on(socket, &self.stream_request(&path, "")).await
    }

    /// Opens a stream with further header lines, each ending in CRLF.
    pub async fn stream(&self, path: &str, headers: &str) -> SseReader {
        SseReader::open(self.address, &self.stream_request(path, headers)).await
    }

    pub fn stream_request(&self, path: &str, headers: &str) -> String {
        let credential = match &self.token {
            Some(token) => format!("Authorization: Bearer {token}\r\n"),
            None => String::new(),
        };
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{credential}{headers}\r\n", self.address)
    }
}

/// The `id` of a body.
#[track_caller]
pub fn id_of(body: &Value) -> Uuid {
    body["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("no id: {body}"))
}
