//! Stream tokens that have expired, without a wait for the expiry.

use std::path::Path;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use entity::{Timestamp, stream_token};
use jsonwebtoken::{EncodingKey, Header};
use sea_orm::EntityTrait;
use serde_json::Value;
use uuid::Uuid;

use crate::support::{app::App, waiting::until};

/// The same URL at a time when its stream token has expired. The token has the same claims except `exp`.
pub fn expired(data_dir: &Path, url: &str) -> String {
    let token = token_in(url);
    let secret = std::fs::read(data_dir.join("keys/stream.secret")).expect("a secret");
    let mut claims = claims(token);
    claims["exp"] = (Timestamp::now().seconds() - 1).into();
    let header: Header = jsonwebtoken::decode_header(token).expect("a header");
    let key = EncodingKey::from_secret(&secret);
    let expired = jsonwebtoken::encode(&header, &claims, &key).expect("a token");
    url.replace(token, &expired)
}

/// Waits until the first use of the URL is recorded, and returns the URL with the expired token.
pub async fn used_and_expired(app: &App, url: &str) -> String {
    until("row", async || row(app, url).await.is_some()).await;
    expired(&app.gateway.config.data_dir, url)
}

/// The row of the stream token in the URL.
pub async fn row(app: &App, url: &str) -> Option<stream_token::Model> {
    let Value::String(id) = &claims(token_in(url))["jti"] else { panic!("no jti in {url}") };
    let id: Uuid = id.parse().expect("an id");
    let found = stream_token::Entity::find_by_id(id).one(app.gateway.database.reader()).await;
    found.expect("a database")
}

fn token_in(url: &str) -> &str {
    let (_, token) = url.split_once("stream_token=").expect("a stream token");
    token.split('&').next().unwrap_or_default()
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("three parts");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}
