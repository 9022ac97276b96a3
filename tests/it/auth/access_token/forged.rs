//! An access token with any fault is refused (RFC 8725).

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use entity::{Timestamp, user::Role};
use jsonwebtoken::{Algorithm, Header};
use serde_json::json;
use uuid::Uuid;

use crate::{
    auth::access_token::forge::{Forge, admin_token, foreign_key, part, sign},
    support::{
        App,
        auth::{bearer, invalid_token},
    },
};

#[tokio::test]
async fn access_token_with_one_wrong_part_is_refused() {
    let app = App::start().await;
    let genuine = admin_token(&app).await;
    let forge = Forge::like(&app, &genuine).await;
    let other = part(&app.caller(Role::Admin).await.token.expect("a token"), 1);
    let (body, signature) = genuine.rsplit_once('.').expect("three parts");
    let reversed: String = signature.chars().rev().collect();
    let now = Timestamp::now().seconds();

    let again = sign(&forge.header, &forge.claims, &forge.access_key);
    let begun = forge.claiming("nbf", &json!(now));
    for good in [genuine.clone(), again, forge.typed(Some("application/at+jwt")), begun] {
        bearer(&app, &good).get("/v1/auth/me").await.ok();
    }
    for (fault, token) in [
        ("typ", forge.typed(Some("JWT"))),
        ("typ of a stream token", forge.typed(Some("stream+jwt"))),
        ("no typ", forge.typed(None)),
        ("iss", forge.claiming("iss", &json!("elsewhere"))),
        ("aud", forge.claiming("aud", &json!("elsewhere"))),
        ("aud of stream tokens", forge.claiming("aud", &json!("streamgate/streams"))),
        ("another user's session", forge.claiming("sid", &other["sid"])),
        ("another user", forge.claiming("sub", &other["sub"])),
        ("unknown session", forge.claiming("sid", &json!(Uuid::now_v7()))),
        ("no user's id", forge.claiming("sub", &json!("admin"))),
        ("exp", forge.claiming("exp", &json!(now - 1))),
        ("nbf", forge.claiming("nbf", &json!(now + 60))),
        ("nbf as text", forge.claiming("nbf", &json!("soon"))),
        ("exp as text", forge.claiming("exp", &json!("never"))),
        ("no exp", forge.without("exp")),
        ("no iss", forge.without("iss")),
        ("no aud", forge.without("aud")),
        ("no sub", forge.without("sub")),
        ("no sid", forge.without("sid")),
        ("signature", format!("{body}.{reversed}")),
        ("no signature", format!("{body}.")),
        ("two parts", body.to_owned()),
        ("empty", String::new()),
        ("not a token", "letmein".to_owned()),
    ] {
        let answer = bearer(&app, &token).get("/v1/auth/me").await;
        assert_eq!(answer.status, 401, "{fault}: {answer:?}");
        let detail = invalid_token(answer);
        let expected = match fault {
            "exp" => "the token has expired",
            "nbf" => "the token is not valid yet",
            "unknown session" | "another user" | "another user's session" => {
                "the login session has ended"
            }
            // After trimming, an empty bearer token is not a token.
            "empty" => "the Authorization header must contain a bearer token",
            _ => "the token is not valid",
        };
        assert_eq!(detail, expected, "{fault}");
    }
    app.finish().await;
}

#[tokio::test]
async fn access_token_signed_with_another_key_or_algorithm_is_refused() {
    let app = App::start().await;
    let genuine = admin_token(&app).await;
    let forge = Forge::like(&app, &genuine).await;
    let (foreign, jwk) = foreign_key();
    // SubjectPublicKeyInfo of an Ed25519 key (RFC 8410, section 4), in the form in which others
    // would publish it.
    let spki = [&b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"[..], &forge.public].concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        BASE64_STANDARD.encode(&spki)
    );
    let x = BASE64_URL_SAFE_NO_PAD.encode(&forge.public);
    let named = Header { kid: Some("theirs".to_owned()), ..forge.header.clone() };
    let with_jwk = Header { jwk: Some(jwk), ..forge.header.clone() };
    let with_jku = Header { jku: Some(app.url("/.well-known/jwks.json")), ..forge.header.clone() };
    let by_stream_key = Header { alg: Algorithm::HS256, ..forge.header.clone() };
    for (fault, token) in [
        ("none", forge.unsigned("none")),
        ("None", forge.unsigned("None")),
        ("no signature", forge.unsigned("EdDSA")),
        ("HS256 with the raw public key", forge.hmac(&forge.public)),
        ("HS256 with the public key as DER", forge.hmac(&spki)),
        ("HS256 with the public key as PEM", forge.hmac(pem.as_bytes())),
        ("HS256 with the text in the JWK", forge.hmac(x.as_bytes())),
        ("the key of stream tokens", sign(&by_stream_key, &forge.claims, &forge.stream_key)),
        ("foreign key, our kid", sign(&forge.header, &forge.claims, &foreign)),
        ("foreign key, its kid", sign(&named, &forge.claims, &foreign)),
        ("foreign key in jwk", sign(&with_jwk, &forge.claims, &foreign)),
        ("foreign key behind jku", sign(&with_jku, &forge.claims, &foreign)),
    ] {
        let answer = bearer(&app, &token).get("/v1/auth/me").await;
        assert_eq!(answer.status, 401, "{fault}: {answer:?}");
        assert_eq!(invalid_token(answer), "the token is not valid", "{fault}");
    }
    app.finish().await;
}

#[tokio::test]
async fn access_token_with_an_unknown_critical_header_is_refused() {
    let app = App::start().await;
    let forge = Forge::like(&app, &admin_token(&app).await).await;
    // RFC 7515, section 4.1.11.
    let critical = Some(vec!["streamgate-test".to_owned()]);
    let header = Header { crit: critical, ..forge.header.clone() };
    let token = sign(&header, &forge.claims, &forge.access_key);
    let answer = bearer(&app, &token).get("/v1/auth/me").await;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(invalid_token(answer), "the token is not valid");
    app.finish().await;
}

#[tokio::test]
async fn access_token_and_stream_token_are_not_interchangeable() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let minted = operator.mint(topology).await;
    let stream_token = minted["token"].as_str().expect("a token");
    let anyone = app.anyone();

    // The stream token opens its stream.
    let path = minted["url"].as_str().expect("a URL");
    anyone.stream(path, "").await.expect("snapshot").await;
    // The token is not valid for anything else, in any place of a request.
    let detail = invalid_token(bearer(&app, stream_token).get("/v1/auth/me").await);
    assert_eq!(detail, "the token is not valid");
    let stream = format!("/v1/topologies/{topology}/stream");
    invalid_token(bearer(&app, stream_token).get(&stream).await);
    for path in ["/v1/auth/me".to_owned(), format!("/v1/topologies/{topology}/events")] {
        let answer = anyone.get(&format!("{path}?stream_token={stream_token}")).await;
        assert_eq!(invalid_token(answer), "a stream token is accepted on streams only");
    }
    let other = app.active_topology(&operator).await;
    let path = format!("/v1/topologies/{other}/stream?stream_token={stream_token}");
    assert_eq!(
        anyone.get(&path).await.problem(403),
        "this stream token was minted for another stream"
    );
    // Each token has one difference from a stream token, and is signed with the right key.
    let genuine = operator.token.as_deref().expect("a token");
    let forge = Forge::like(&app, genuine).await;
    let (header, claims) = (part(stream_token, 0), part(stream_token, 1));
    assert_eq!(header, json!({ "typ": "stream+jwt", "alg": "HS256" }));
    assert_eq!(claims["aud"], "streamgate/streams");
    let by_access_key = Header { typ: Some("stream+jwt".to_owned()), ..forge.header.clone() };
    let hmac = |typ: &str| Header { typ: Some(typ.to_owned()), ..Header::new(Algorithm::HS256) };
    let mut for_access = claims.clone();
    for_access["aud"] = json!("streamgate");
    let mut early = claims.clone();
    early["nbf"] = json!(Timestamp::now().seconds() + 60);
    let early = sign(&hmac("stream+jwt"), &early, &forge.stream_key);
    let early = anyone.get(&format!("{stream}?stream_token={early}")).await;
    assert_eq!(invalid_token(early), "the token is not valid yet");
    for token in [
        sign(&by_access_key, &claims, &forge.access_key),
        sign(&hmac("at+jwt"), &claims, &forge.stream_key),
        sign(&hmac("stream+jwt"), &for_access, &forge.stream_key),
    ] {
        let answer = anyone.get(&format!("{stream}?stream_token={token}")).await;
        assert_eq!(invalid_token(answer), "the token is not valid");
    }
    app.finish().await;
}
