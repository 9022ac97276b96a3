//! An upstream OAuth provider that the test plays itself.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::{Map, Value, json};
use streamgate::config;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use url::{Url, form_urlencoded};
use uuid::Uuid;

use crate::support::App;

/// The base URL that the gateway has for browsers. The tests send the requests to its real address.
pub const PUBLIC: &str = "http://127.0.0.1:1";

/// The credential of the client: `streamgate` and `a client secret` (RFC 6749, section 2.3.1).
const CREDENTIAL: &str = "Basic c3RyZWFtZ2F0ZTphK2NsaWVudCtzZWNyZXQ=";

/// The refusal of a refresh token (RFC 6749, section 5.2).
pub const INVALID_GRANT: (&str, &str) = ("400 Bad Request", "invalid_grant");

/// The answers of the token endpoint.
pub struct Answers {
    /// Lifetime of access tokens, in seconds.
    pub lifetime: u64,
    /// Number of further requests that get 500.
    pub failures: usize,
    /// Whether every request gets 503.
    pub is_down: bool,
    /// The number of health checks: GET requests for the token endpoint or the discovery document.
    pub checks: usize,
    /// Status and `error` of the answer to every refresh token. Absent if they are accepted.
    pub refusal: Option<(&'static str, &'static str)>,
    /// Whether the provider issues access tokens only.
    pub without_refresh: bool,
    /// The number of requests that have arrived, also of those that wait for an answer.
    pub arrived: usize,
    /// Held by a test that lets requests wait for their answers.
    gate: Arc<tokio::sync::Mutex<()>>,
    /// Members that replace those of the discovery document.
    pub discovery: Map<String, Value>,
    /// The refresh token that is valid now. Each refresh replaces it.
    pub refresh: String,
    /// The forms that the token endpoint got.
    pub requests: Vec<HashMap<String, String>>,
    /// The tokens that were revoked.
    pub revoked: Vec<String>,
    /// Every token that was issued.
    pub issued: Vec<String>,
}

/// A running provider.
pub struct TestProvider {
    pub address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
    server: JoinHandle<()>,
}

impl TestProvider {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let answers = Arc::new(Mutex::new(Answers {
            lifetime: 3_600,
            failures: 0,
            is_down: false,
            checks: 0,
            refusal: None,
            without_refresh: false,
            discovery: Map::new(),
            arrived: 0,
            gate: Arc::default(),
            refresh: String::new(),
            requests: Vec::new(),
            revoked: Vec::new(),
            issued: Vec::new(),
        }));
        let shared = Arc::clone(&answers);
        let server = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let answers = Arc::clone(&shared);
                tokio::spawn(async move { serve(socket, address, &answers).await });
            }
        });
        Self { address, answers, server }
    }

    pub fn url(&self) -> Url {
        format!("http://{}", self.address).parse().expect("a URL")
    }

    /// The configuration of this provider under a name.
    pub fn config(&self, name: &str) -> config::Provider {
        serde_json::from_value(self.settings(name)).expect("a provider")
    }

    /// The settings of the provider in a configuration file or in the environment.
    pub fn settings(&self, name: &str) -> Value {
        let url = format!("http://{}", self.address);
        json!({
            "name": name,
            "authorization_url": format!("{url}/authorize"),
            "token_url": format!("{url}/token"),
            "revocation_url": format!("{url}/revoke"),
            "client_id": "streamgate",
            "client_secret": "a client secret",
            "scopes": ["repo"],
            "token_users": ["role:agent"],
            "private_network": true,
        })
    }

    /// Starts a gateway with this provider under the name `github`.
    pub async fn app(&self) -> App {
        let provider = self.config("github");
        App::with(|config| with_providers(config, vec![provider])).await
    }

    pub fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().expect("no panic elsewhere")
    }

    /// Lets the requests for tokens wait until the guard is dropped.
    pub async fn hold(&self) -> tokio::sync::OwnedMutexGuard<()> {
        let gate = Arc::clone(&self.answers().gate);
        gate.lock_owned().await
    }

    /// The number of requests with this `grant_type`.
    pub fn requests(&self, grant_type: &str) -> usize {
        let answers = self.answers();
        answers.requests.iter().filter(|form| form["grant_type"] == grant_type).count()
    }
}

impl Drop for TestProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub fn with_providers(config: &mut config::Config, providers: Vec<config::Provider>) {
    config.oauth.providers = providers;
    config.server.public_url = Some(PUBLIC.parse().expect("a URL"));
}

/// Answers one request, then closes the connection.
async fn serve(socket: TcpStream, address: SocketAddr, answers: &Mutex<Answers>) {
    let mut socket = BufReader::new(socket);
    let (mut line, mut length, mut credential) = (String::new(), 0, String::new());
    if socket.read_line(&mut line).await.is_err() {
        return;
    }
    let is_get = line.starts_with("GET ");
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    loop {
        let mut field = String::new();
        if !socket.read_line(&mut field).await.is_ok_and(|read| read > 2) {
            break;
        }
        let (name, value) = field.split_once(':').unwrap_or_default();
        match name.to_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" => value.trim().clone_into(&mut credential),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    if socket.read_exact(&mut body).await.is_err() {
        return;
    }
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let (status, body) = if is_get {
        let mut answers = answers.lock().expect("no panic elsewhere");
        answers.checks += 1;
        match &*path {
            _ if answers.is_down => ("503 Service Unavailable", json!({})),
            "/token" => ("405 Method Not Allowed", json!({})),
            path => answer(&mut answers, path, &form, address),
        }
    } else if matches!(&*path, "/token" | "/revoke") && credential != CREDENTIAL {
        ("401 Unauthorized", json!({ "error": "invalid_client" }))
    } else {
        let gate = {
            let mut answers = answers.lock().expect("no panic elsewhere");
            answers.arrived += usize::from(path == "/token");
            Arc::clone(&answers.gate)
        };
        if path == "/token" {
            drop(gate.lock().await);
        }
        answer(&mut answers.lock().expect("no panic elsewhere"), &path, &form, address)
    };
    let body = body.to_string();
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = socket.write_all(response.as_bytes()).await;
}

fn answer(
    answers: &mut Answers,
    path: &str,
    form: &HashMap<String, String>,
    address: SocketAddr,
) -> (&'static str, Value) {
    let url = format!("http://{address}");
    match path {
        "/.well-known/openid-configuration" => {
            let mut discovery = json!({
                "issuer": url,
                "authorization_endpoint": format!("{url}/authorize"),
                "token_endpoint": format!("{url}/token"),
                "revocation_endpoint": format!("{url}/revoke"),
                "authorization_response_iss_parameter_supported": true,
            });
            discovery.as_object_mut().expect("an object").extend(answers.discovery.clone());
            return ("200 OK", discovery);
        }
        "/revoke" => {
            answers.revoked.push(form["token"].clone());
            return ("200 OK", json!({}));
        }
        _ => {}
    }
    answers.requests.push(form.clone());
    if answers.failures > 0 {
        answers.failures -= 1;
        return ("500 Internal Server Error", json!({}));
    }
    let is_refresh = form["grant_type"] == "refresh_token";
    let is_old = is_refresh && form["refresh_token"] != answers.refresh;
    let refusal = answers.refusal.filter(|_| is_refresh);
    if let Some((status, error)) = refusal.or(is_old.then_some(INVALID_GRANT)) {
        return (status, json!({ "error": error }));
    }
    let access = format!("access-{}", Uuid::new_v4());
    if !answers.without_refresh {
        answers.refresh = format!("refresh-{}", Uuid::new_v4());
    }
    let tokens = [access.clone(), answers.refresh.clone()];
    answers.issued.extend(tokens);
    let mut response = json!({
        "access_token": access,
        "token_type": "bearer",
        "expires_in": answers.lifetime,
        "refresh_token": answers.refresh,
    });
    if answers.without_refresh {
        response["refresh_token"].take();
    }
    ("200 OK", response)
}
