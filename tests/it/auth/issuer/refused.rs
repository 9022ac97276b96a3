//! A token of an external issuer with any fault is refused (RFC 8725).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use entity::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::{
    auth::access_token::forge::{foreign_key, sign},
    support::{
        App,
        auth::{bearer, invalid_token},
        issuer::{Key, TestIssuer},
    },
};

async fn detail(app: &App, fault: &str, token: &str) -> String {
    let answer = bearer(app, token).get("/v1/auth/me").await;
    assert_eq!(answer.status, 401, "{fault}: {answer:?}");
    invalid_token(answer)
}

#[tokio::test]
async fn external_token_with_one_wrong_claim_is_refused() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let now = Timestamp::now().seconds();
    for good in
        [json!({}), json!({ "aud": ["other", "streamgate-tests"] }), json!({ "nbf": now + 5 })]
    {
        issuer.caller(&app, "ada", good).me().await;
    }
    for (fault, change, expected) in [
        ("aud", json!({ "aud": "elsewhere" }), "the token is not valid"),
        ("no aud", json!({ "aud": null }), "the token is not valid"),
        ("aud is a part", json!({ "aud": "streamgate" }), "the token is not valid"),
        ("iss", json!({ "iss": format!("{}/", issuer.url()) }), "the token is not valid"),
        ("iss as a list", json!({ "iss": [issuer.url()] }), "the token is not valid"),
        ("exp", json!({ "exp": now - 1 }), "the token has expired"),
        ("no exp", json!({ "exp": null }), "the token is not valid"),
        ("exp as text", json!({ "exp": "never" }), "the token is not valid"),
        ("nbf", json!({ "nbf": now + 90 }), "the token is not valid yet"),
        ("no iat", json!({ "iat": null }), "the token is not valid"),
        ("no sub", json!({ "sub": null }), "the token is not valid"),
        ("empty sub", json!({ "sub": "" }), "the token is not valid"),
        ("long sub", json!({ "sub": "a".repeat(256) }), "the token is not valid"),
        ("sid as a number", json!({ "sid": 7 }), "the token is not valid"),
    ] {
        let token = issuer.token("ada", change);
        assert_eq!(detail(&app, fault, &token).await, expected, "{fault}");
    }
    app.finish().await;
}

#[tokio::test]
async fn external_token_with_a_wrong_header_is_refused() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    // Without `alg`, the key itself allows every algorithm of its type.
    let mut published = issuer.key.published.clone();
    published["alg"].take();
    issuer.publish(vec![published]);
    let (claims, header) = (issuer.claims("ada"), issuer.header());
    let key = &issuer.key.signs;
    let typed = |typ: Option<&str>| {
        sign(&Header { typ: typ.map(str::to_owned), ..header.clone() }, &claims, key)
    };
    let with_kid =
        |kid: &str| sign(&Header { kid: Some(kid.to_owned()), ..header.clone() }, &claims, key);
    bearer(&app, &typed(Some("application/AT+JWT"))).me().await;
    let unsigned = |alg: &str| {
        let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        let header = json!({ "typ": "at+jwt", "alg": alg, "kid": issuer.key.id });
        format!("{}.{}.", encode(&header), encode(&claims))
    };
    let public = issuer.key.published["n"].as_str().expect("a modulus");
    let hmac = Header { alg: Algorithm::HS256, ..header.clone() };
    let crit = Header { crit: Some(vec!["x".to_owned()]), ..header.clone() };
    let (foreign, jwk) = foreign_key();
    let by_jwk = Header { jwk: Some(jwk), alg: Algorithm::EdDSA, ..header.clone() };
    let attacker = TestIssuer::start().await;
    let theirs = Header {
        kid: Some(attacker.key.id.clone()),
        jku: Some(format!("{}/jwks", attacker.url())),
        x5u: Some(format!("{}/x5u", attacker.url())),
        ..header.clone()
    };
    for (fault, token) in [
        ("typ", typed(Some("JWT"))),
        ("no typ", typed(None)),
        ("none", unsigned("none")),
        ("no signature", unsigned("RS256")),
        (
            "HS256 with the modulus",
            sign(&hmac, &claims, &EncodingKey::from_secret(public.as_bytes())),
        ),
        (
            "an algorithm that is not configured",
            sign(&Header { alg: Algorithm::RS384, ..header.clone() }, &claims, key),
        ),
        ("crit", sign(&crit, &claims, key)),
        ("kid of a file", with_kid("../../../../etc/passwd")),
        ("kid with SQL", with_kid("' OR 1=1 --")),
        ("empty kid", with_kid("")),
        ("jwk", sign(&by_jwk, &claims, &foreign)),
        ("jku and x5u", sign(&theirs, &claims, &attacker.key.signs)),
        ("another key, our kid", sign(&header, &claims, &attacker.key.signs)),
    ] {
        assert_eq!(detail(&app, fault, &token).await, "the token is not valid", "{fault}");
    }
    for path in ["/jwks", "/x5u"] {
        assert_eq!(attacker.requests(path), 0, "{path}");
    }
    app.finish().await;
}

#[tokio::test]
async fn issuer_cannot_sign_for_another_issuer() {
    let (one, two) = (TestIssuer::start().await, TestIssuer::start().await);
    let issuers = vec![one.config(json!({})), two.config(json!({}))];
    let app = App::with(|config| config.auth.issuers = issuers).await;
    one.caller(&app, "ada", json!({})).me().await;
    two.caller(&app, "ada", json!({})).me().await;
    let ids = [&one, &two].map(|issuer| issuer.caller(&app, "ada", json!({})));
    assert_ne!(ids[0].id().await, ids[1].id().await);
    // With the kid of either.
    let claims = one.claims("ada");
    for header in [one.header(), two.header()] {
        let mixed = sign(&header, &claims, &two.key.signs);
        assert_eq!(detail(&app, "mixed", &mixed).await, "the token is not valid");
    }
    app.finish().await;
}

#[tokio::test]
async fn id_tokens_and_refresh_tokens_are_refused() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({ "token_type": "JWT" })).await;
    let signed = |change: Value| {
        let mut claims = issuer.claims("ada");
        claims.as_object_mut().expect("claims").extend(change.as_object().expect("claims").clone());
        let header = Header { typ: Some("JWT".to_owned()), ..issuer.header() };
        sign(&header, &claims, &issuer.key.signs)
    };
    bearer(&app, &signed(json!({ "typ": "Bearer" }))).me().await;
    bearer(&app, &signed(json!({}))).me().await;
    for fault in [
        json!({ "typ": "ID" }),
        json!({ "typ": "Refresh" }),
        json!({ "typ": "Offline" }),
        json!({ "typ": "Logout" }),
        json!({ "nonce": "n" }),
        json!({ "at_hash": "h" }),
        json!({ "c_hash": "h" }),
    ] {
        let token = signed(fault.clone());
        assert_eq!(detail(&app, &fault.to_string(), &token).await, "the token is not valid");
    }
    app.finish().await;
}

#[tokio::test]
async fn key_for_another_purpose_verifies_no_token() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let publish = |name: &str, value: Value| {
        let mut key = Key::new();
        key.published[name] = value;
        key
    };
    let keys = [
        publish("use", json!("enc")),
        publish("key_ops", json!(["encrypt"])),
        publish("alg", json!("RS512")),
    ];
    let unknown = json!({ "kty": "future", "kid": "f" });
    issuer.publish(keys.iter().map(|key| key.published.clone()).chain([unknown]).collect());
    for key in &keys {
        let header = Header { kid: Some(key.id.clone()), ..issuer.header() };
        let token = sign(&header, &issuer.claims("ada"), &key.signs);
        assert_eq!(detail(&app, "purpose", &token).await, "the token is not valid");
    }
    app.finish().await;
}

#[tokio::test]
async fn external_token_in_a_url_is_refused() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let token = issuer.token("ada", json!({}));
    for name in ["access_token", "token"] {
        let answer = app.anyone().get(&format!("/v1/auth/me?{name}={token}")).await;
        assert!(invalid_token(answer).starts_with("an access token must not be in a URL"));
    }
    app.finish().await;
}
