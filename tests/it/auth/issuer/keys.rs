//! The keys of an issuer: cached, fetched at most once in ten seconds, and kept during an outage.

use std::time::Duration;

use futures_util::future::join_all;
use jsonwebtoken::Header;
use serde_json::json;
use uuid::Uuid;

use crate::{
    auth::access_token::forge::{foreign_key, sign},
    support::{
        App,
        auth::{bearer, invalid_token},
        issuer::{Key, TestIssuer},
        until,
    },
};

const JWKS: &str = "/jwks";
const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Longer than the time between two fetches.
const INTERVAL: Duration = Duration::from_secs(11);

#[tokio::test]
async fn storm_of_unknown_key_ids_causes_one_fetch() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let claims = issuer.claims("ada");
    let storm = (0..40).map(|_| {
        let header = Header { kid: Some(Uuid::new_v4().to_string()), ..issuer.header() };
        let caller = bearer(&app, &sign(&header, &claims, &issuer.key.signs));
        async move { invalid_token(caller.get("/v1/auth/me").await) }
    });
    for detail in join_all(storm).await {
        assert_eq!(detail, "the token is not valid");
    }
    // The first fetch was the check at the start.
    assert_eq!((issuer.requests(DISCOVERY), issuer.requests(JWKS)), (2, 2));
    issuer.caller(&app, "ada", json!({})).me().await;
    assert_eq!(issuer.requests(JWKS), 2);
    app.finish().await;
}

#[tokio::test]
async fn known_keys_stay_valid_during_an_outage() {
    let mut issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    issuer.caller(&app, "ada", json!({})).me().await;
    issuer.set_down(true);
    app.time.pass(Duration::from_mins(20));
    issuer.caller(&app, "grace", json!({})).me().await;
    // A new key is not known, and cannot be fetched.
    issuer.rotate();
    let unknown = issuer.caller(&app, "ada", json!({}));
    let answer = unknown.get("/v1/auth/me").await;
    let retry: u64 =
        answer.headers["retry-after"].to_str().expect("text").parse().expect("a number");
    assert!((10..=20).contains(&retry), "{retry}");
    assert_eq!(answer.problem(503), "the issuer of the token does not answer at the moment");
    // A visitor needs no token, so a token that cannot be checked does not matter.
    assert_eq!(unknown.get("/openapi.json").await.status, 200);
    issuer.set_down(false);
    app.time.pass(INTERVAL);
    unknown.me().await;
    app.finish().await;
}

#[tokio::test]
async fn rotated_keys_are_fetched_at_the_first_use() {
    let mut issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let before = issuer.caller(&app, "ada", json!({}));
    before.me().await;
    let old = issuer.key.clone();
    issuer.rotate();
    issuer.caller(&app, "ada", json!({})).me().await;
    assert_eq!(issuer.requests(JWKS), 2);
    // The issuer has removed the old key.
    let header = Header { kid: Some(old.id.clone()), ..issuer.header() };
    let forged = sign(&header, &issuer.claims("ada"), &old.signs);
    invalid_token(bearer(&app, &forged).get("/v1/auth/me").await);
    // A token that was verified before is verified again after five minutes.
    app.time.pass(Duration::from_mins(6));
    invalid_token(before.get("/v1/auth/me").await);
    app.finish().await;
}

#[tokio::test]
async fn removed_key_is_refused_after_the_next_check() {
    let issuer = TestIssuer::start().await;
    let configured = issuer.config(json!({}));
    let app = App::with(|config| {
        config.streams.heartbeat_seconds = 1;
        config.auth.issuers = vec![configured];
    })
    .await;
    issuer.caller(&app, "ada", json!({})).me().await;
    issuer.publish(vec![Key::new().published]);
    until("refusal", async || {
        // A new token each time, because a verified token is cached.
        issuer.caller(&app, "ada", json!({})).get("/v1/auth/me").await.status == 401
    })
    .await;
    app.finish().await;
}

#[tokio::test]
async fn keys_url_replaces_discovery() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({ "jwks_url": format!("{}/other", issuer.url()) })).await;
    issuer.caller(&app, "ada", json!({})).me().await;
    assert_eq!((issuer.requests(DISCOVERY), issuer.requests("/other")), (0, 1));
    app.finish().await;
}

async fn is_unreachable(app: &App, issuer: &TestIssuer) {
    issuer.caller(app, "ada", json!({})).get("/v1/auth/me").await.problem(503);
}

#[tokio::test]
async fn private_address_is_not_called_unless_it_is_allowed() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({ "private_network": false })).await;
    is_unreachable(&app, &issuer).await;
    assert_eq!(issuer.requests(DISCOVERY), 0);
    app.finish().await;
    // By HTTPS, the address itself is the reason.
    let url = format!("https://{}/jwks", issuer.address);
    let app = issuer.app(json!({ "private_network": false, "jwks_url": url })).await;
    is_unreachable(&app, &issuer).await;
    app.finish().await;
}

#[tokio::test]
async fn redirects_and_documents_of_other_issuers_are_refused() {
    let (mut issuer, target) = (TestIssuer::start().await, TestIssuer::start().await);
    let app = issuer.app(json!({})).await;
    issuer.rotate();
    issuer.set_discovery(Some(target.url()), None);
    is_unreachable(&app, &issuer).await;
    // The first request was the check at the start.
    assert_eq!(issuer.requests(JWKS), 1);
    app.time.pass(INTERVAL);
    // Plain HTTP is for private addresses only.
    issuer.set_discovery(None, Some("http://example.com/jwks".to_owned()));
    is_unreachable(&app, &issuer).await;
    app.time.pass(INTERVAL);
    issuer.set_redirect(&format!("{}/jwks", target.url()));
    is_unreachable(&app, &issuer).await;
    assert_eq!((issuer.requests(DISCOVERY), issuer.requests(JWKS)), (4, 1));
    assert_eq!(target.requests(JWKS), 0);
    app.finish().await;
}

#[tokio::test]
async fn token_without_a_key_id_needs_one_fitting_key() {
    let issuer = TestIssuer::start().await;
    let ours = issuer.key.published.clone();
    issuer.publish(vec![ours.clone(), Key::new().published]);
    let app = issuer.app(json!({})).await;
    let unnamed = || {
        let header = Header { kid: None, ..issuer.header() };
        bearer(&app, &sign(&header, &issuer.claims("ada"), &issuer.key.signs))
    };
    assert_eq!(invalid_token(unnamed().get("/v1/auth/me").await), "the token is not valid");
    app.time.pass(INTERVAL);
    // A key of another type does not fit.
    let mut other = json!(foreign_key().1);
    other["alg"].take();
    issuer.publish(vec![other, ours]);
    unnamed().me().await;
    app.finish().await;
}

#[tokio::test]
async fn keys_after_the_hundredth_are_ignored() {
    let issuer = TestIssuer::start().await;
    let publish = |others: usize| {
        let copy = |number| {
            let mut key = issuer.key.published.clone();
            key["kid"] = json!(format!("copy {number}"));
            key
        };
        issuer.publish((0..others).map(copy).chain([issuer.key.published.clone()]).collect());
    };
    publish(100);
    let app = issuer.app(json!({})).await;
    invalid_token(issuer.caller(&app, "ada", json!({})).get("/v1/auth/me").await);
    app.time.pass(INTERVAL);
    publish(99);
    issuer.caller(&app, "ada", json!({})).me().await;
    app.finish().await;
}

#[tokio::test]
async fn answer_of_an_issuer_has_at_most_a_mebibyte() {
    let issuer = TestIssuer::start().await;
    let publish = |length: usize| {
        let long = json!({ "kty": "future", "padding": "a".repeat(length) });
        issuer.publish(vec![issuer.key.published.clone(), long]);
    };
    publish(1 << 20);
    let app = issuer.app(json!({})).await;
    is_unreachable(&app, &issuer).await;
    app.time.pass(INTERVAL);
    publish((1 << 20) - 2_048);
    issuer.caller(&app, "ada", json!({})).me().await;
    app.finish().await;
}
