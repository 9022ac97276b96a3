//! An upstream OAuth provider that the test plays itself, and the browser of a user who links an account.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use reqwest::{Method, Response, header::HeaderMap, redirect::Policy};
use serde_json::{Map, Value, json};
use streamgate::config;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use url::{Url, form_urlencoded};
use uuid::Uuid;

use crate::support::{App, Caller, PASSWORD};

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

    /// The configuration of this provider under a name.
    pub fn config(&self, name: &str) -> config::Provider {
        let url = format!("http://{}", self.address);
        serde_json::from_value(json!({
            "name": name,
            "authorization_url": format!("{url}/authorize"),
            "token_url": format!("{url}/token"),
            "revocation_url": format!("{url}/revoke"),
            "client_id": "streamgate",
            "client_secret": "a client secret",
            "scopes": ["repo"],
            "token_users": ["role:agent"],
            "private_network": true,
        }))
        .expect("a provider")
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
    let (status, body) = if matches!(&*path, "/token" | "/revoke") && credential != CREDENTIAL {
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

/// A browser: it keeps the one-time cookie, and does not follow redirects.
pub struct Browser {
    http: reqwest::Client,
    address: SocketAddr,
    pub cookie: Option<String>,
}

/// A page, or a redirect.
#[derive(Debug)]
pub struct PageView {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Browser {
    pub fn new(app: &App) -> Self {
        let http = reqwest::Client::builder().redirect(Policy::none()).build().expect("a client");
        Self { http, address: app.address, cookie: None }
    }

    pub async fn open(&mut self, url: &str) -> PageView {
        self.send(Method::GET, url, None, None).await
    }

    /// Submits a form of the gateway's own page.
    pub async fn submit(&mut self, path: &str, form: &[(&str, &str)]) -> PageView {
        self.send(Method::POST, path, Some(form), Some(PUBLIC)).await
    }

    pub async fn send(
        &mut self,
        method: Method,
        url: &str,
        form: Option<&[(&str, &str)]>,
        origin: Option<&str>,
    ) -> PageView {
        let path = url.strip_prefix(PUBLIC).unwrap_or(url);
        let mut request = self.http.request(method, format!("http://{}{path}", self.address));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        if let Some(form) = form {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            request =
                request.header("content-type", "application/x-www-form-urlencoded").body(body);
        }
        let response: Response = request.send().await.expect("a response");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if let Some(cookie) = headers.get("set-cookie") {
            let pair = cookie.to_str().expect("text").split(';').next().expect("a pair");
            self.cookie = Some(pair.to_owned()).filter(|pair| !pair.ends_with('='));
        }
        PageView { status, headers, text: response.text().await.expect("a body") }
    }

    /// Logs in on the page of an authorization.
    pub async fn log_in(&mut self, request: &str, username: &str) -> PageView {
        let form = [("request", request), ("username", username), ("password", PASSWORD)];
        self.submit("/v1/oauth/authorize", &form).await
    }

    /// Confirms what is linked. Returns the URL of the provider.
    pub async fn go_on(&mut self, request: &str) -> Url {
        let page = self.submit("/v1/oauth/authorize/continue", &[("request", request)]).await;
        assert_eq!(page.status, 303, "{page:?}");
        page.headers["location"].to_str().expect("text").parse().expect("a URL")
    }

    /// A browser that has gone on to the provider, with the authorization of this caller. Returns the `state` too.
    pub async fn at_provider(
        app: &App,
        (caller, username): (&Caller, &str),
        provider: &str,
    ) -> (Self, String) {
        let request = begin(caller, provider).await;
        let mut browser = Self::new(app);
        browser.log_in(&request, username).await;
        let state = parameter(&browser.go_on(&request).await, "state");
        (browser, state)
    }

    /// Returns from the provider with a code.
    pub async fn call_back(&mut self, state: &str, more: &str) -> PageView {
        self.open(&format!("/v1/oauth/callback?state={state}&code=the-code{more}")).await
    }

    /// Logs in, confirms, and returns from the provider.
    pub async fn link(&mut self, request: &str, username: &str) -> PageView {
        self.log_in(request, username).await;
        let state = parameter(&self.go_on(request).await, "state");
        self.call_back(&state, "").await
    }
}

/// A parameter of a URL.
pub fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
}

/// Begins an authorization. Returns its id.
pub async fn begin(caller: &Caller, provider: &str) -> String {
    let path = format!("/v1/oauth/grants/{provider}/authorize");
    let begun = caller.call(Method::POST, &path, None).await.ok();
    let url: Url = begun["authorization_url"].as_str().expect("a URL").parse().expect("a URL");
    assert!(url.as_str().starts_with(&format!("{PUBLIC}/v1/oauth/authorize?request=")), "{url}");
    parameter(&url, "request")
}

/// Links an account of a caller at `github`.
pub async fn link(app: &App, caller: &Caller) {
    let username = caller.me().await["username"].as_str().expect("a name").to_owned();
    let request = begin(caller, "github").await;
    let page = Browser::new(app).link(&request, &username).await;
    assert!(page.text.contains("Account linked"), "{page:?}");
}

/// The grant of a caller at `github`.
pub async fn grant(caller: &Caller) -> Value {
    let grants = caller.get("/v1/oauth/grants").await.ok();
    grants["grants"].get(0).cloned().unwrap_or(Value::Null)
}

/// The kinds of the caller's notifications, oldest first.
pub async fn notifications(caller: &Caller) -> Vec<String> {
    let path = format!("/v1/users/{}/notifications", caller.id().await);
    let page = caller.get(&path).await.ok();
    let items = page["items"].as_array().expect("items");
    let mut kinds: Vec<_> = items
        .iter()
        .map(|item| {
            (item["id"].clone().to_string(), item["kind"].as_str().expect("a kind").to_owned())
        })
        .collect();
    kinds.sort();
    kinds.into_iter().map(|(_, kind)| kind).collect()
}
