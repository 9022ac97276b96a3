//! A service that shows what it does: throw-away data, users of every role, and a topology on which
//! an operator and a mutator work, both as ordinary clients over HTTP.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use streamgate::{config::Config, password, server, telemetry};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::sync::CancellationToken;

/// The pace of the operator: slow enough to read.
const PACE: Duration = Duration::from_secs(2);

/// Serves the demo until `shutdown`.
pub(crate) async fn run(
    listen: Option<SocketAddr>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    telemetry::init_logging(false, "warn")?;
    // Without it there is room for fewer streams, which a demo can live with.
    let _ = server::raise_descriptor_limit();
    let listener = bind(listen).await?;
    let data = tempfile::tempdir().context("cannot make a throw-away directory")?;
    let mut config = Config::for_data_dir(data.path());
    // What is printed below is to work as long as somebody may leave the terminal open.
    config.tokens.access_seconds = 86_400;
    let (ready, started) = oneshot::channel();
    let announce = |address: SocketAddr, password: Option<&str>| {
        let password = password.map(str::to_owned);
        let given = || std::env::var("STREAMGATE_ADMIN_PASSWORD").unwrap_or_default();
        // The other end waits below for as long as the service runs.
        let _ = ready.send((address, password.unwrap_or_else(given)));
    };
    let service = streamgate::run(config, listener, shutdown.clone(), announce);
    let play = async {
        let (address, password) = started.await.context("the service did not start")?;
        shutdown.run_until_cancelled(play(address, &password)).await.unwrap_or(Ok(()))
    };
    tokio::pin!(service);
    tokio::select! {
        ended = &mut service => ended?,
        played = play => {
            // What the play could not do is worth more than what follows from it.
            shutdown.cancel();
            let ended = service.await;
            played?;
            ended?;
        }
    }
    Ok(())
}

async fn bind(listen: Option<SocketAddr>) -> anyhow::Result<TcpListener> {
    let usual = SocketAddr::from(([127, 0, 0, 1], 8080));
    match TcpListener::bind(listen.unwrap_or(usual)).await {
        Err(_) if listen.is_none() => Ok(TcpListener::bind(("127.0.0.1", 0)).await?),
        bound => bound.context("cannot listen"),
    }
}

async fn play(address: SocketAddr, admin_password: &str) -> anyhow::Result<()> {
    let anyone = Caller::new(address);
    let admin = anyone.log_in("admin", admin_password).await?;
    let mut people = vec![("admin", admin_password.to_owned())];
    for role in ["operator", "agent", "viewer"] {
        let password = password::random();
        let user = json!({ "username": role, "password": password, "role": role });
        admin.call(Method::POST, "/v1/users", Some(user)).await?;
        people.push((role, password));
    }
    let caller = |index: usize| anyone.log_in(people[index].0, &people[index].1);
    let (operator, agent, viewer) = (caller(1).await?, caller(2).await?, caller(3).await?);
    let new = json!({ "name": "demo", "config": { "lans": 2 } });
    let topology = operator.call(Method::POST, "/v1/topologies", Some(new)).await?;
    let path = format!("/v1/topologies/{}", topology["id"].as_str().context("no id")?);
    operator.status(&path, "deploying").await?;
    operator.status(&path, "active").await?;
    explain(address, &people, &viewer, &path)?;
    tokio::try_join!(operate(&operator, &path), mutate(&agent, &path))?;
    Ok(())
}

fn explain(
    address: SocketAddr,
    people: &[(&str, String)],
    viewer: &Caller,
    path: &str,
) -> anyhow::Result<()> {
    let token = viewer.token().unwrap_or_default();
    let people: Vec<String> =
        people.iter().map(|(name, password)| format!("  {name:<10} {password}")).collect();
    super::say(&format!(
        "streamgate demo, on throw-away data, until Ctrl-C\n\n\
         Try it out:  http://{address}/docs\n\n\
         Log in as    password\n{}\n\n\
         Watch a topology that somebody works on (paste into another terminal):\n\n\
         curl -N -H 'Authorization: Bearer {token}' http://{address}{path}/stream\n",
        people.join("\n")
    ))
}

/// The operator: has something changed now and then, and sometimes the topology suffers.
async fn operate(operator: &Caller, path: &str) -> anyhow::Result<()> {
    let mutations = format!("{path}/mutations");
    for node in 1_u64.. {
        let op = if node % 4 == 0 { "update_node" } else { "add_node" };
        let mutation = json!({ "op": op, "payload": { "node": node } });
        operator.call(Method::POST, &mutations, Some(mutation)).await?;
        tokio::time::sleep(PACE).await;
        if node % 8 == 0 {
            operator.status(path, "degraded").await?;
            tokio::time::sleep(PACE).await;
            operator.status(path, "active").await?;
        }
    }
    Ok(())
}

/// The mutator: claims, works for a moment, reports. Every seventh attempt fails.
async fn mutate(agent: &Caller, path: &str) -> anyhow::Result<()> {
    let mut done = 0_u64;
    loop {
        let claim = json!({ "lease_seconds": 30 });
        let claimed =
            agent.call(Method::POST, &format!("{path}/mutations/claim"), Some(claim)).await?;
        tokio::time::sleep(PACE / 4).await;
        for claimed in claimed.as_array().into_iter().flatten() {
            done += 1;
            let (state, reason) = match done % 7 {
                0 => ("failed", Some("the node does not answer")),
                _ => ("applied", None),
            };
            let report =
                json!({ "lease_token": claimed["lease_token"], "state": state, "reason": reason });
            let id = claimed["mutation"]["id"].as_str().context("no id")?;
            let path = format!("{path}/mutations/{id}/report");
            agent.call(Method::POST, &path, Some(report)).await?;
        }
    }
}

/// Somebody who calls the service over HTTP.
struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    /// Name and password; none for somebody who has not logged in.
    login: Option<Value>,
    token: Mutex<Option<String>>,
}

impl Caller {
    fn new(address: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, address, login: None, token: Mutex::default() }
    }

    async fn log_in(&self, username: &str, password: &str) -> anyhow::Result<Self> {
        let login = Some(json!({ "username": username, "password": password }));
        let (client, address) = (self.client.clone(), self.address);
        let caller = Self { client, address, login, token: Mutex::default() };
        caller.renew().await?;
        Ok(caller)
    }

    async fn renew(&self) -> anyhow::Result<()> {
        let (_, tokens) = self.send(&Method::POST, "/v1/auth/login", self.login.as_ref()).await?;
        let token = tokens["access_token"].as_str().context("no access token")?.to_owned();
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(())
    }

    fn token(&self) -> Option<String> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn status(&self, path: &str, status: &str) -> anyhow::Result<()> {
        let change = json!({ "status": status, "reason": "part of the demo" });
        self.call(Method::POST, &format!("{path}/status"), Some(change)).await.map(drop)
    }

    /// The answer's body, nothing for an empty one; an answer above 399 is an error.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let (mut status, mut answer) = self.send(&method, path, body.as_ref()).await?;
        if status == StatusCode::UNAUTHORIZED && self.login.is_some() {
            // The demo may run for longer than a token is good for.
            self.renew().await?;
            (status, answer) = self.send(&method, path, body.as_ref()).await?;
        }
        ensure!(status < StatusCode::BAD_REQUEST, "{method} {path}: {status} {answer}");
        Ok(answer)
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = self.token() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        let answer = self.client.request(request.body(Full::from(body))?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
        Ok((status, body))
    }
}
