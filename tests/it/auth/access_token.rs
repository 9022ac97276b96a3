//! Access tokens: their shape (RFC 9068), and that one with anything wrong in it is refused
//! (RFC 8725). The forged ones are signed with the server's own keys wherever the signature is not
//! what is wrong, so each of them has one fault and no other.

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::Ed25519KeyPair,
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use entity::{Timestamp, user::Role};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    jwk::{Jwk, JwkSet},
};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::{Answer, App, Caller, id_of};

/// Checks that it is a refused credential (RFC 6750, section 3.1), and gives the detail.
#[track_caller]
pub fn invalid_token(answer: Answer) -> String {
    let challenge = answer.headers["www-authenticate"].to_str().expect("text").to_owned();
    let detail = answer.problem(401);
    let expected = format!(
        "Bearer realm=\"streamgate\", error=\"invalid_token\", error_description=\"{detail}\""
    );
    assert_eq!(challenge, expected);
    detail
}

/// Somebody with this access token.
pub fn bearer(app: &App, token: &str) -> Caller {
    let mut caller = app.anyone();
    caller.token = Some(token.to_owned());
    caller
}

/// Makes tokens like a genuine one.
struct Forge {
    header: Header,
    claims: Value,
    access_key: EncodingKey,
    stream_key: EncodingKey,
    /// The public half of the access key, raw.
    public: Vec<u8>,
}

impl Forge {
    /// After this token, with the keys of the server.
    async fn like(app: &App, token: &str) -> Self {
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

    fn typed(&self, typ: Option<&str>) -> String {
        let header = Header { typ: typ.map(str::to_owned), ..self.header.clone() };
        sign(&header, &self.claims, &self.access_key)
    }

    fn claiming(&self, name: &str, value: &Value) -> String {
        let mut claims = self.claims.clone();
        claims[name] = value.clone();
        sign(&self.header, &claims, &self.access_key)
    }

    fn without(&self, name: &str) -> String {
        let mut claims = self.claims.clone();
        claims.as_object_mut().expect("claims").remove(name).expect(name);
        sign(&self.header, &claims, &self.access_key)
    }

    fn hmac(&self, secret: &[u8]) -> String {
        let header = Header { alg: Algorithm::HS256, ..self.header.clone() };
        sign(&header, &self.claims, &EncodingKey::from_secret(secret))
    }

    /// With a header that `jsonwebtoken` would not write, and without a signature.
    fn unsigned(&self, alg: &str) -> String {
        let header = json!({ "typ": "at+jwt", "alg": alg, "kid": self.header.kid });
        let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        format!("{}.{}.", encode(&header), encode(&self.claims))
    }
}

fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).expect("a token")
}

/// A part of a token, as JSON.
fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("three parts");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// A key that the server has never seen, with its public half.
fn foreign_key() -> (EncodingKey, Jwk) {
    use aws_lc_rs::signature::KeyPair;
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a pair");
    let public = DecodingKey::from_ed_der(pair.public_key().as_ref());
    let jwk = Jwk::from_decoding_key(&public, Some(Algorithm::EdDSA)).expect("a JWK");
    (EncodingKey::from_ed_der(pkcs8.as_ref()), jwk)
}

async fn admin_token(app: &App) -> String {
    app.log_in("admin").await.token.expect("a token")
}

#[tokio::test]
async fn an_access_token_has_the_shape_of_rfc_9068_and_verifies_with_the_published_key() {
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
    assert_eq!(key.get("d"), None, "the private half stays here");
    // RFC 7638, section 3: the members in order of their names, without blanks.
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

#[tokio::test]
async fn a_token_with_anything_wrong_in_it_is_refused() {
    let app = App::start().await;
    let genuine = admin_token(&app).await;
    let forge = Forge::like(&app, &genuine).await;
    let other = part(&app.caller(Role::Admin).await.token.expect("a token"), 1);
    let (body, signature) = genuine.rsplit_once('.').expect("three parts");
    let turned: String = signature.chars().rev().collect();
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
        ("signature", format!("{body}.{turned}")),
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
            // What is left of an empty bearer token after trimming is no token.
            "empty" => "the Authorization header must be a bearer token",
            _ => "the token is not valid",
        };
        assert_eq!(detail, expected, "{fault}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_token_signed_in_another_way_is_refused_whatever_key_it_names() {
    let app = App::start().await;
    let genuine = admin_token(&app).await;
    let forge = Forge::like(&app, &genuine).await;
    let (foreign, jwk) = foreign_key();
    // SubjectPublicKeyInfo of an Ed25519 key (RFC 8410, section 4), as others would publish it.
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
async fn a_header_that_is_critical_and_not_understood_is_refused() {
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
async fn access_tokens_and_stream_tokens_never_stand_for_each_other() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let wanted = json!({ "family": "topology", "id": topology });
    let minted = operator.post("/v1/stream-tokens", wanted).await.ok();
    let stream_token = minted["token"].as_str().expect("a token");
    let anyone = app.anyone();

    // The stream token is good for its stream.
    let path = minted["url"].as_str().expect("a URL");
    anyone.stream(path, "").await.expect("snapshot").await;
    // And for nothing else, in whatever place.
    let detail = invalid_token(bearer(&app, stream_token).get("/v1/auth/me").await);
    assert_eq!(detail, "the token is not valid");
    let stream = format!("/v1/topologies/{topology}/stream");
    invalid_token(bearer(&app, stream_token).get(&stream).await);
    for path in ["/v1/auth/me".to_owned(), format!("/v1/topologies/{topology}/events")] {
        let answer = anyone.get(&format!("{path}?stream_token={stream_token}")).await;
        assert_eq!(invalid_token(answer), "a stream token is accepted on its stream only");
    }
    let other = app.active_topology(&operator).await;
    let path = format!("/v1/topologies/{other}/stream?stream_token={stream_token}");
    assert_eq!(anyone.get(&path).await.problem(403), "this stream token opens another stream");
    // What an access token lacks of a stream token, even signed with the right key.
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

#[tokio::test]
async fn an_access_token_in_the_query_is_refused_beside_a_good_header() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let token = operator.token.as_deref().expect("a token");
    let stream = format!("/v1/topologies/{topology}/stream");
    for path in [
        format!("/v1/auth/me?access_token={token}"),
        "/v1/auth/me?access_token=anything".to_owned(),
        "/v1/auth/me?access_token=".to_owned(),
        format!("/v1/auth/me?anything={token}"),
        format!("{stream}?access_token={token}"),
        format!("{stream}?stream_token={token}"),
        format!("{stream}?max_events=1&access%5Ftoken={token}"),
    ] {
        for caller in [&operator, &app.anyone()] {
            assert_eq!(
                invalid_token(caller.get(&path).await),
                "an access token must not travel in a URL: send it in the Authorization header, \
                 or mint a stream token",
                "{path}"
            );
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn no_credential_gets_a_challenge_without_an_error_and_another_scheme_gets_one_with() {
    let app = App::start().await;
    let path = format!("/v1/topologies/{}", Uuid::now_v7());
    let nobody = [
        (Method::GET, "/v1/auth/me", None),
        // Whoever is not known learns nothing about what is there or how it is asked for.
        (Method::GET, path.as_str(), None),
        (Method::GET, "/v1/topologies/not-an-id", None),
        (Method::GET, "/v1/users?limit=0", None),
        (Method::POST, "/v1/users", Some(json!("not a user"))),
    ];
    for (method, path, body) in nobody {
        let answer = app.anyone().call(method, path, body).await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"streamgate\"", "{path}");
        assert_eq!(answer.problem(401), "this operation requires a bearer token");
    }
    for value in ["Basic YWRtaW46YWRtaW4=", "Bearer", "bearer-ish", "DPoP abc"] {
        let lines = format!("Authorization: {value}\r\n");
        let answer = app.anyone().stream("/v1/auth/me", &lines).await;
        assert_eq!(answer.status(), 401, "{value}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(challenge.contains("error=\"invalid_token\""), "{value}: {challenge}");
    }
    let admin = app.log_in("admin").await;
    let me = admin.get("/v1/auth/me").await.ok();
    let lines = format!("authorization: bEaReR {}\r\n", admin.token.expect("a token"));
    assert_eq!(app.anyone().stream("/v1/auth/me", &lines).await.status(), 200);
    assert_eq!(me["username"], "admin");
    id_of(&me);
    app.finish().await;
}

#[tokio::test]
async fn an_allow_list_with_algorithms_of_other_keys_leaves_our_own_tokens_good() {
    let app = App::with(|config| {
        config.tokens.algorithms = ["EdDSA", "RS256", "ES256"].map(str::to_owned).to_vec();
    })
    .await;
    app.caller(Role::Viewer).await.get("/v1/auth/me").await.ok();
    app.finish().await;
}
