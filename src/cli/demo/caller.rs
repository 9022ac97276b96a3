//! An HTTP client of the gateway.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
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

/// An HTTP client that may be logged in.
pub(super) struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    /// User name and password. Absent before a login.
    login: Option<Value>,
    token: Mutex<Option<String>>,
}

impl Caller {
    pub(super) fn new(address: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, address, login: None, token: Mutex::default() }
    }

    pub(super) async fn log_in(&self, username: &str, password: &str) -> anyhow::Result<Self> {
        let login = Some(json!({ "username": username, "password": password }));
        let (client, address) = (self.client.clone(), self.address);
        let caller = Self { client, address, login, token: Mutex::default() };
        caller.renew().await?;
        Ok(caller)
    }

    async fn renew(&self) -> anyhow::Result<()> {
        let (_, tokens) =
            self.send(&Method::POST, "/v1/auth/login", self.login.as_ref(), None).await?;
        let token = tokens["access_token"].as_str().context("no access token")?.to_owned();
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(())
    }

    pub(super) fn token(&self) -> Option<String> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a POST request. Returns the body of the response.
    pub(super) async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Creates a resource with a POST request. Returns the path of the resource.
    pub(super) async fn create(&self, path: &str, body: Value) -> anyhow::Result<String> {
        let created = self.post(path, body).await?;
        Ok(format!("{path}/{}", created["id"].as_str().context("no id")?))
    }

    /// Sends a POST request with a lease token. Returns the body of the response.
    pub(super) async fn post_under(
        &self,
        lease_token: &str,
        path: &str,
        body: Value,
    ) -> anyhow::Result<Value> {
        self.call_under(Some(lease_token), Method::POST, path, Some(body)).await
    }

    /// Sends a request. Returns the body of the response, or null if it is empty. A status of 400 or more is an error.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        self.call_under(None, method, path, body).await
    }

    async fn call_under(
        &self,
        lease_token: Option<&str>,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let send = || self.send(&method, path, body.as_ref(), lease_token);
        let (mut status, mut answer) = send().await?;
        if status == StatusCode::UNAUTHORIZED && self.login.is_some() {
            // The token may expire while the demo runs.
            self.renew().await?;
            (status, answer) = send().await?;
        }
        ensure!(status < StatusCode::BAD_REQUEST, "{method} {path}: {status} {answer}");
        Ok(answer)
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        lease_token: Option<&str>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = self.token() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(token) = lease_token {
            request = request.header("Lease-Token", token);
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        let answer = self.client.request(request.body(Full::from(body))?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
        Ok((status, body))
    }
}
