//! Forged access tokens. They are signed with the server's own keys unless the signature is the
//! fault, so each has exactly one fault.

use aws_lc_rs::{rand::SystemRandom, signature::Ed25519KeyPair};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};

use crate::support::App;

/// Creates tokens that differ from a genuine token in one part.
pub struct Forge {
    pub header: Header,
    pub claims: Value,
    pub access_key: EncodingKey,
    pub stream_key: EncodingKey,
    /// The public half of the access key, raw.
    pub public: Vec<u8>,
}

impl Forge {
    /// Starts from this token and the keys of the server.
    pub async fn like(app: &App, token: &str) -> Self {
        let keys = app.gateway.config.data_dir.join("keys");
        let pkcs8 = std::fs::read(keys.join("access.pkcs8")).expect("the key of access tokens");
        let secret = std::fs::read(keys.join("stream.secret")).expect("the key of stream tokens");
        let published = app.anyone().get("/.well-known/jwks.json").await.ok();
        let public = published["keys"][0]["x"].as_str().expect("a public key");
        Self {
            header: jsonwebtoken::decode_header(token).expect("a header"),
            claims: part(token, 1),
            access_key: EncodingKey::from_ed_der(&pkcs8),
            stream_key: EncodingKey::from_secret(&secret),
            public: BASE64_URL_SAFE_NO_PAD.decode(public).expect("base64url"),
        }
    }

    pub fn typed(&self, typ: Option<&str>) -> String {
        let header = Header { typ: typ.map(str::to_owned), ..self.header.clone() };
        sign(&header, &self.claims, &self.access_key)
    }

    pub fn claiming(&self, name: &str, value: &Value) -> String {
        let mut claims = self.claims.clone();
        claims[name] = value.clone();
        sign(&self.header, &claims, &self.access_key)
    }

    pub fn without(&self, name: &str) -> String {
        let mut claims = self.claims.clone();
        claims.as_object_mut().expect("claims").remove(name).expect(name);
        sign(&self.header, &claims, &self.access_key)
    }

    pub fn hmac(&self, secret: &[u8]) -> String {
        let header = Header { alg: Algorithm::HS256, ..self.header.clone() };
        sign(&header, &self.claims, &EncodingKey::from_secret(secret))
    }

    /// A token with a header that `jsonwebtoken` would not write, and without a signature.
    pub fn unsigned(&self, alg: &str) -> String {
        let header = json!({ "typ": "at+jwt", "alg": alg, "kid": self.header.kid });
        let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        format!("{}.{}.", encode(&header), encode(&self.claims))
    }
}

pub fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).expect("a token")
}

/// A part of a token, as JSON.
pub fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("three parts");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// A key that the server has never seen, with its public half.
pub fn foreign_key() -> (EncodingKey, Jwk) {
    use aws_lc_rs::signature::KeyPair;
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a pair");
    let public = DecodingKey::from_ed_der(pair.public_key().as_ref());
    let jwk = Jwk::from_decoding_key(&public, Some(Algorithm::EdDSA)).expect("a JWK");
    (EncodingKey::from_ed_der(pkcs8.as_ref()), jwk)
}

pub async fn admin_token(app: &App) -> String {
    app.log_in("admin").await.token.expect("a token")
}
