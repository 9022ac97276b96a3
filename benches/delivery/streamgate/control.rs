//! The control listener: publishes events, and lists streams and prompts with their tokens.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use entity::Timestamp;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use streamgate::{
    auth::stream_claims::StreamScope,
    event::{Event, NewEvent},
    gateway::Gateway,
};
use tokio::net::TcpListener;

use super::{
    auth,
    rows::{Login, TOPICS, Watched},
};
use crate::event;

/// Lifetime of stream tokens, which is longer than any run of the benchmark.
const STREAM_TOKEN_LIFETIME: Duration = Duration::from_hours(1);

/// The state of the control listener.
pub(super) struct Control {
    pub(super) gateway: Arc<Gateway>,
    pub(super) topics: Arc<Vec<Watched>>,
    /// Path to publish on, for each prompt.
    pub(super) prompts: Vec<String>,
    pub(super) logins: Arc<Vec<Login>>,
}

/// Accepts connections of the benchmark.
pub(super) async fn accept(listener: TcpListener, control: Arc<Control>) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let control = Arc::clone(&control);
        tokio::spawn(async move {
            let service = service_fn(|request| respond(&control, request));
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
        });
    }
}

async fn respond(
    control: &Control,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let query = |name: &str| {
        let pairs = head.uri.query().unwrap_or_default().split('&');
        let found = pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
        found.and_then(|(_, value)| value.parse::<usize>().ok())
    };
    let path = &head.uri.path()[1..];
    let (action, number) = path.split_once('/').unwrap_or((path, ""));
    let text = if head.method == Method::POST {
        let data = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
        let watched = control.topics.get(number.parse::<usize>()?).context("no such topic")?;
        match action {
            "publish" => control.publish(watched, data).await,
            _ => control.publish_durably(watched, query("count").unwrap_or(1)).await?,
        }
        String::new()
    } else if action == "prompts" {
        control.prompts()
    } else if action == "credentials" {
        auth::credentials(&control.gateway, &control.topics, &control.logins).await?
    } else if action == "latencies" {
        auth::report(&control.gateway).await?
    } else if action == "deliver" {
        let count = query("count").context("count=NUMBER is missing")?;
        control.deliver_once(count).await.as_nanos().to_string()
    } else {
        let number = |name| query(name).with_context(|| format!("{name}=NUMBER is missing"));
        let has_access_tokens = action == "access-tokens";
        control.streams(number("n")?, number("first")?, number("topics")?, has_access_tokens)
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
        // Publishing with a commit waits in the same way.
        self.gateway.hub.wait_for_capacity(&watched.topic).await;
    }

    /// Publishes one event on the first topic, and waits until it was written to `count` subscribers.
    async fn deliver_once(&self, count: usize) -> Duration {
        let watched = &self.topics[0];
        let delivered = self.gateway.telemetry.delivered(watched.topic.family().name());
        let all = delivered.get() + count as u64;
        let began = Instant::now();
        self.publish(watched, event::data(0)).await;
        while delivered.get() < all {
            // Short, compared with a delivery to thousands of subscribers.
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        began.elapsed()
    }

    /// Publishes `count` events through the database. Returns after the commit.
    async fn publish_durably(&self, watched: &Watched, count: usize) -> anyhow::Result<()> {
        let event = NewEvent { kind: "bench".to_owned(), data: event::data(0), terminal: false };
        self.gateway.hub.publish(watched.topic.clone(), vec![event; count]).await?;
        Ok(())
    }

    /// Lists paths to publish on, as [`crate::load_generator::Publish::paths`], for one agent.
    fn prompts(&self) -> String {
        let token = self.access_token(&self.logins[0]);
        let line = |path: &String| format!("{path}\tBearer {token}\n");
        self.prompts.iter().map(line).collect()
    }

    /// Lists `count` streams to open, as [`crate::load_generator::Open::streams`], over `topics` topics from `first`
    /// on. The streams either use the access tokens of all users in turn, or have one stream token each.
    fn streams(
        &self,
        count: usize,
        first: usize,
        topics: usize,
        has_access_tokens: bool,
    ) -> String {
        let access_tokens: Vec<String> = if has_access_tokens {
            self.logins.iter().map(|login| self.access_token(login)).collect()
        } else {
            Vec::new()
        };
        let line = |i: usize| {
            let number = first + i % topics;
            let Watched { id, topic, .. } = &self.topics[number % TOPICS];
            let path = format!("/v1/topologies/{id}/stream");
            if has_access_tokens {
                let token = &access_tokens[i % access_tokens.len()];
                return format!("{number}\t{path}\tBearer {token}\n");
            }
            let Login { user, session } = self.logins[i % self.logins.len()];
            let scope = StreamScope::Topic(topic.to_string());
            let (token, _) = self.gateway.tokens.sign_stream_token(
                user,
                session,
                scope,
                false,
                STREAM_TOKEN_LIFETIME,
            );
            format!("{number}\t{path}?stream_token={token}\t\n")
        };
        (0..count).map(line).collect()
    }

    fn access_token(&self, login: &Login) -> String {
        self.gateway.tokens.sign_access_token(login.user, login.session).0
    }
}
