//! The server under measurement, with one topology that takes mutations.

use anyhow::Context;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::process::Process;

const PASSWORD: &str = "correct horse battery staple";

/// Limits are not what is measured here, and all streams are of one user.
const LIMITS: [&str; 6] = [
    "STREAMS_PER_USER",
    "REQUESTS_PER_MINUTE",
    "STREAM_OPENS_PER_MINUTE",
    "LOGINS_PER_MINUTE_PER_USER",
    "LOGINS_PER_MINUTE_PER_NAME",
    "LOGINS_PER_MINUTE_PER_ADDRESS",
];

/// A running gateway and an administrator who is logged in.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    http: Client,
    base: String,
    token: String,
    topology: String,
}

impl Gateway {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamgate"));
        // Settings of whoever runs this would be measured too.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STREAMGATE_")) {
            command.env_remove(name);
        }
        for limit in LIMITS {
            command.env(format!("STREAMGATE_LIMITS__{limit}"), "1000000");
        }
        command
            .env("STREAMGATE_ADMIN_PASSWORD", PASSWORD)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory.path());
        let process = Process::start(command, directory).await?;
        let base = format!("http://{}", process.address);
        let (token, topology) = (String::new(), String::new());
        let mut gateway = Self { process, http: Client::new(), base, token, topology };
        let login = json!({ "username": "admin", "password": PASSWORD });
        gateway.token = gateway.post("/v1/auth/login", &login, "access_token").await?;
        gateway.topology = gateway.post("/v1/topologies", &json!({ "name": "lab" }), "id").await?;
        for status in ["deploying", "active"] {
            let path = format!("/v1/topologies/{}/status", gateway.topology);
            gateway.post(&path, &json!({ "status": status }), "id").await?;
        }
        Ok(gateway)
    }

    /// The request of a stream, as it goes over the wire.
    pub(crate) fn stream_request(&self) -> String {
        format!(
            "GET /v1/topologies/{}/stream HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\n\r\n",
            self.topology, self.token
        )
    }

    /// A mutation to send.
    pub(crate) fn publish(&self) -> RequestBuilder {
        let url = format!("{}/v1/topologies/{}/mutations", self.base, self.topology);
        let body = json!({ "op": "add_node", "payload": {} });
        self.http.post(url).bearer_auth(&self.token).json(&body)
    }

    /// Reads the topology again and again, one request after the other.
    pub(crate) async fn read_topology(&self, times: u32) -> anyhow::Result<()> {
        let url = format!("{}/v1/topologies/{}", self.base, self.topology);
        for _ in 0..times {
            let answer = self.http.get(&url).bearer_auth(&self.token).send().await?;
            answer.error_for_status()?.bytes().await?;
        }
        Ok(())
    }

    pub(crate) async fn metrics(&self) -> anyhow::Result<String> {
        let answer = self.http.get(format!("{}/metrics", self.base)).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// Posts `body` and returns a field of the answer.
    async fn post(&self, path: &str, body: &Value, field: &str) -> anyhow::Result<String> {
        let mut request = self.http.post(format!("{}{path}", self.base)).json(body);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        let value = answer[field].as_str().with_context(|| format!("{path}: no {field}"))?;
        Ok(value.to_owned())
    }
}
