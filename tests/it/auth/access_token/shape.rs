//! The shape of an access token (RFC 9068) and the key that verifies it.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use entity::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde_json::{Value, json};

use crate::{
    auth::access_token::forge::{admin_token, part},
    support::{App, auth::bearer},
};

#[tokio::test]
async fn access_token_has_rfc_9068_shape_and_verifies_with_jwks() {
    let app = App::start().await;
    let before = Timestamp::now().seconds();
    let token = admin_token(&app).await;
    let answer = app.anyone().get("/.well-known/jwks.json").await.ok();
    let published: JwkSet = serde_json::from_value(answer.clone()).expect("a JWK set");
    let key = &answer["keys"][0];
    assert_eq!(answer["keys"].as_array().map(Vec::len), Some(1));
    for (name, value) in [("kty", "OKP"), ("crv", "Ed25519"), ("alg", "EdDSA"), ("use", "sig")] {
        assert_eq!(key[name], value, "{name}");
    }
    assert_eq!(key.get("d"), None, "the private key is not published");
    // RFC 7638, section 3: the members in the order of their names, without spaces.
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":{}}}"#, key["x"]);
    let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()));
    assert_eq!(key["kid"], thumbprint.as_str());

    let header = part(&token, 0);
    assert_eq!(header, json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": thumbprint }));
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_audience(&["streamgate"]);
    rules.set_issuer(&["streamgate"]);
    let verifier = DecodingKey::from_jwk(published.find(&thumbprint).expect("the key"));
    let verifier = verifier.expect("a usable key");
    let decoded = jsonwebtoken::decode::<Value>(&token, &verifier, &rules).expect("verifies");

    let claims = decoded.claims;
    let mut names: Vec<_> = claims.as_object().expect("claims").keys().cloned().collect();
    names.sort();
    assert_eq!(names, ["aud", "client_id", "exp", "iat", "iss", "jti", "sid", "sub"]);
    let me = bearer(&app, &token).get("/v1/auth/me").await.ok();
    assert_eq!((&claims["sub"], &claims["sid"]), (&me["id"], &me["session_id"]));
    let time = |name: &str| claims[name].as_i64().expect("a number of seconds");
    assert!((before..=Timestamp::now().seconds()).contains(&time("iat")));
    assert_eq!(time("exp") - time("iat"), 900);
    let other = part(&admin_token(&app).await, 1);
    assert_ne!(claims["jti"], other["jti"]);
    assert_ne!(claims["sid"], other["sid"]);
    app.finish().await;
}
