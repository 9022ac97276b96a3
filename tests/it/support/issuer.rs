//! An external issuer that the test plays itself: a small HTTP server, and keys that sign tokens.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use aws_lc_rs::{encoding::AsDer, rsa::KeySize, signature::RsaKeyPair};
use entity::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use streamgate::config;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use uuid::Uuid;

use crate::support::{App, Caller, auth::bearer, health::dependency, until};

/// The audience of the tokens.
pub const AUDIENCE: &str = "streamgate-tests";

/// A key of an issuer.
#[derive(Clone)]
pub struct Key {
    pub id: String,
    pub signs: EncodingKey,
    pub published: Value,
}

impl Key {
    /// Creates an RSA key, which takes some time.
    pub fn new() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let der = pair.as_der().expect("PKCS #8");
        // The key inside of PKCS #8 (RFC 5208, section 5), without the 26 bytes before it.
        let signs = EncodingKey::from_rsa_der(&der.as_ref()[26..]);
        let id = Uuid::new_v4().to_string();
        let jwk = Jwk::from_encoding_key(&signs, Algorithm::RS256).expect("a JWK");
        let mut published = serde_json::to_value(&jwk).expect("JSON");
        published["kid"] = json!(id);
        published["use"] = json!("sig");
        Self { id, signs, published }
    }
}

/// The answers of the server.
#[derive(Default)]
struct Answers {
    keys: Vec<Value>,
    /// Replaces the `issuer` of the discovery document.
    issuer: Option<String>,
    /// Replaces the `jwks_uri` of the discovery document.
    jwks_uri: Option<String>,
    /// Answers every request with a redirect to this URL.
    redirect: Option<String>,
    /// Answers every request with 503, and with the right body.
    is_down: bool,
    /// The paths of all requests.
    requests: Vec<String>,
}

/// A running issuer.
pub struct TestIssuer {
    pub address: SocketAddr,
    pub key: Key,
    answers: Arc<Mutex<Answers>>,
    server: JoinHandle<()>,
}

impl TestIssuer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let key = Key::new();
        let answers = Answers { keys: vec![key.published.clone()], ..Answers::default() };
        let answers = Arc::new(Mutex::new(answers));
        let shared = Arc::clone(&answers);
        let server = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let answers = Arc::clone(&shared);
                tokio::spawn(async move { serve(socket, address, &answers).await });
            }
        });
        Self { address, key, answers, server }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The configuration of this issuer. `change` adds or replaces fields.
    pub fn config(&self, change: Value) -> config::Issuer {
        let mut fields = json!({
            "issuer": self.url(),
            "audience": AUDIENCE,
            "roles": { "guest": "viewer", "staff": "operator", "root": "admin" },
            "private_network": true,
        });
        let Value::Object(change) = change else { panic!("the change must be an object") };
        fields.as_object_mut().expect("an object").extend(change);
        serde_json::from_value(fields).expect("an issuer")
    }

    /// Starts a gateway that accepts tokens of this issuer, and has fetched its keys once.
    pub async fn app(&self, change: Value) -> App {
        let issuer = self.config(change);
        let app = App::with(|config| {
            config.streams.heartbeat_seconds = 60;
            config.auth.issuers = vec![issuer];
        })
        .await;
        until("check", async || dependency(&app, &self.url()).await["status"] != "unknown").await;
        app
    }

    /// The claims of a token of this subject for an operator. Each call is a newer token.
    pub fn claims(&self, subject: &str) -> Value {
        let now = Timestamp::now().seconds();
        json!({
            "iss": self.url(),
            "aud": AUDIENCE,
            "sub": subject,
            "sid": format!("session of {subject}"),
            "jti": Uuid::new_v4(),
            "iat": now,
            "exp": now + 300,
            "roles": ["staff"],
            "preferred_username": subject,
        })
    }

    pub fn header(&self) -> Header {
        Header {
            typ: Some("at+jwt".to_owned()),
            kid: Some(self.key.id.clone()),
            ..Header::new(Algorithm::RS256)
        }
    }

    /// Signs a token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        jsonwebtoken::encode(&self.header(), claims, &self.key.signs).expect("a token")
    }

    /// A token of this subject. `change` adds or replaces claims.
    pub fn token(&self, subject: &str, change: Value) -> String {
        let mut claims = self.claims(subject);
        let Value::Object(change) = change else { panic!("the change must be an object") };
        claims.as_object_mut().expect("an object").extend(change);
        self.sign(&claims)
    }

    /// A client with a token of this subject.
    pub fn caller(&self, app: &App, subject: &str, change: Value) -> Caller {
        bearer(app, &self.token(subject, change))
    }

    /// Replaces the key.
    pub fn rotate(&mut self) {
        self.key = Key::new();
        self.answers().keys = vec![self.key.published.clone()];
    }

    pub fn publish(&self, keys: Vec<Value>) {
        self.answers().keys = keys;
    }

    pub fn set_down(&self, is_down: bool) {
        self.answers().is_down = is_down;
    }

    pub fn set_redirect(&self, target: &str) {
        self.answers().redirect = Some(target.to_owned());
    }

    pub fn set_discovery(&self, issuer: Option<String>, jwks_uri: Option<String>) {
        let mut answers = self.answers();
        (answers.issuer, answers.jwks_uri) = (issuer, jwks_uri);
    }

    /// The number of requests for this path so far.
    pub fn requests(&self, path: &str) -> usize {
        self.answers().requests.iter().filter(|requested| *requested == path).count()
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.answers.lock().expect("no panic elsewhere")
    }
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Answers one request, then closes the connection.
async fn serve(socket: TcpStream, address: SocketAddr, answers: &Mutex<Answers>) {
    let mut socket = BufReader::new(socket);
    let mut line = String::new();
    if socket.read_line(&mut line).await.is_err() {
        return;
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    while socket.read_line(&mut line).await.is_ok_and(|length| length > 2) {}
    let response = {
        let mut answers = answers.lock().expect("no panic elsewhere");
        answers.requests.push(path.clone());
        answer(&answers, &path, address)
    };
    let _ = socket.write_all(response.as_bytes()).await;
}

fn answer(answers: &Answers, path: &str, address: SocketAddr) -> String {
    if let Some(target) = &answers.redirect {
        return format!(
            "HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let url = format!("http://{address}");
    let body = match path {
        "/.well-known/openid-configuration" => json!({
            "issuer": answers.issuer.clone().unwrap_or_else(|| url.clone()),
            "jwks_uri": answers.jwks_uri.clone().unwrap_or_else(|| format!("{url}/jwks")),
        }),
        _ => json!({ "keys": answers.keys }),
    };
    let body = body.to_string();
    let status = if answers.is_down { "503 Down" } else { "200 OK" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
