//! A running gateway for one test: a real server on a free port, with its own database.

use std::{net::SocketAddr, sync::Arc};

use entity::user::Role;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use streamgate::{
    auth::password::NewPassword,
    bus::{Bus, InProcessBus},
    clock::STABLE_AFTER,
    config::Config,
    gateway::Gateway,
    telemetry::MetricsFormat,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{
    caller::{Caller, id_of},
    store::Store,
    time::Time,
    waiting::{soon, until},
};

/// A running gateway.
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

    /// Starts with a changed configuration.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(Store::new().await, Arc::new(InProcessBus::default()), change).await
    }

    /// Starts on this database and this bus. The clock counts as stable from the start.
    pub async fn on(store: Store, bus: Arc<dyn Bus>, change: impl FnOnce(&mut Config)) -> Self {
        let time = Arc::new(Time::ago(STABLE_AFTER));
        let app = Self::at(store, bus, &time, change).await;
        time.pass(STABLE_AFTER);
        app
    }

    /// Starts like [`App::on`], but with a clock that is not stable yet.
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
        let password = Some(PASSWORD.to_owned());
        let built = streamgate::start::build(config, bus, time.clone(), password);
        let gateway = Box::pin(built).await.expect("a start");
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

    /// Returns a client without a credential.
    pub fn anyone(&self) -> Caller {
        Caller { http: self.http.clone(), address: self.address, token: None }
    }

    /// Returns a client of this gateway with the access token of `caller`, a client of another gateway on the same
    /// database.
    pub fn here(&self, caller: &Caller) -> Caller {
        Caller { token: caller.token.clone(), ..self.anyone() }
    }

    /// Creates a user with this role. Returns a client that is logged in.
    pub async fn caller(&self, role: Role) -> Caller {
        let name = format!("{}-{}", format!("{role:?}").to_lowercase(), Uuid::new_v4().simple());
        self.create_user(&name, role).await;
        self.log_in(&name).await
    }

    pub async fn log_in(&self, username: &str) -> Caller {
        let tokens = self.tokens(username).await;
        let token = tokens["access_token"].as_str().expect("an access token").to_owned();
        Caller { token: Some(token), ..self.anyone() }
    }

    /// Logs in. Returns the body of the response.
    pub async fn tokens(&self, username: &str) -> Value {
        let login = json!({ "username": username, "password": PASSWORD });
        self.anyone().post("/v1/auth/login", login).await.ok()
    }

    /// Creates a topology that accepts mutations.
    pub async fn active_topology(&self, operator: &Caller) -> Uuid {
        let new = json!({ "name": format!("t-{}", Uuid::new_v4()) });
        let topology = operator.post("/v1/topologies", new).await.ok();
        let id = id_of(&topology);
        for status in ["deploying", "active"] {
            operator.set_status(id, status).await.ok();
        }
        id
    }

    /// Creates a user with this name and role.
    pub async fn create_user(&self, name: &str, role: Role) -> entity::user::Model {
        let password = NewPassword::new(PASSWORD).expect("a password");
        self.gateway.users.create(name, password, role).await.expect("a user")
    }

    /// The number of claims that wait for work.
    pub fn waiting_claims(&self) -> f64 {
        self.metric("streamgate_claims_waiting")
    }

    /// Waits until a claim waits for work.
    pub async fn claim_waits(&self) {
        until("claim that waits", async || self.waiting_claims() > 0.0).await;
    }

    /// Waits until no stream holds a slot.
    pub async fn slots_freed(&self) {
        until("slot freed", async || self.gateway.limits.open_slots() == 0).await;
    }

    /// Starts with a heartbeat so rare that none ends a stream or a cache entry during a test.
    pub async fn without_heartbeat() -> Self {
        Self::with(|config| config.streams.heartbeat_seconds = 60).await
    }

    /// The value of one sample of the metrics, or 0 if the sample is absent.
    pub fn metric(&self, sample: &str) -> f64 {
        let text = self.gateway.telemetry.render(MetricsFormat::OpenMetrics);
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Renames a table, so that the queries that use it fail.
    pub async fn rename_table(&self, from: &str, to: &str) {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        self.gateway.database.writer().execute_unprepared(&sql).await.expect("a renamed table");
    }

    /// Starts the shutdown.
    pub fn begin_stop(&self) {
        self.shutdown.cancel();
    }

    /// Waits until the server has ended.
    pub async fn ended(&mut self) {
        if let Some(server) = self.server.take() {
            soon("end of the server", server).await.expect("no panic");
        }
    }

    /// Ends the server, checks that no slot is taken, and removes the database. Every test ends with this call.
    pub async fn finish(mut self) {
        self.slots_freed().await;
        self.shutdown.cancel();
        self.ended().await;
        self.store.take().expect("a store").remove().await;
    }
}

/// The password of every user in these tests.
pub const PASSWORD: &str = "a password for tests";
