//! The session cookie: where it is set, how long it lasts, and which pages may use it.

use std::time::Duration;

use entity::{Timestamp, login_session, user::Role};
use jsonwebtoken::{EncodingKey, Header};
use reqwest::Method;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, prelude::Expr};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    auth::access_token::forge::{part, sign},
    support::{
        Answer, App, Caller, PASSWORD, SseReader,
        auth::{bearer, invalid_token},
        topology::operator_with_topology,
    },
};

const APP: &str = "https://app.example.com";
const OTHER: &str = "https://evil.example.com";

async fn app() -> App {
    App::with(|config| config.server.allowed_origins = vec![APP.to_owned()]).await
}

/// Sends a request from a page of this origin, with this cookie.
async fn call(app: &App, request: (Method, &str), cookie: &str, origin: Option<&str>) -> Answer {
    let mut request = app.anyone().request(request.0, request.1).header("cookie", cookie);
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    Caller::answer(request).await
}

async fn login(app: &App, username: &str, origin: Option<&str>) -> Answer {
    let body = json!({ "username": username, "password": PASSWORD, "cookie": true });
    let mut request = app.anyone().request(Method::POST, "/v1/auth/login").json(&body);
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    Caller::answer(request).await
}

/// `name=value` and the attributes of `Set-Cookie`.
fn set_cookie(answer: &Answer) -> (String, String) {
    let header = answer.headers["set-cookie"].to_str().expect("text");
    let (pair, attributes) = header.split_once("; ").expect("attributes");
    (pair.to_owned(), attributes.to_owned())
}

/// Logs in from an allowed page. Returns `name=value`.
async fn cookie(app: &App, username: &str) -> String {
    let answer = login(app, username, Some(APP)).await;
    let (pair, _) = set_cookie(&answer);
    answer.ok();
    pair
}

async fn me(app: &App, cookie: &str) -> Answer {
    call(app, (Method::GET, "/v1/auth/me"), cookie, None).await
}

fn end(me: &Value) -> Timestamp {
    let text = me["session_expires_at"].as_str().expect("a time");
    let format = &time::format_description::well_known::Rfc3339;
    Timestamp::from_datetime(time::OffsetDateTime::parse(text, format).expect("RFC 3339"))
}

#[tokio::test]
async fn cookie_lasts_until_the_absolute_end_of_its_session() {
    let app = app().await;
    let answer = login(&app, "admin", Some(APP)).await;
    let (pair, attributes) = set_cookie(&answer);
    let (name, value) = pair.split_once('=').expect("a value");
    assert_eq!((name, value.split('.').count()), ("streamgate", 3));
    let age: u64 = attributes
        .strip_prefix("Max-Age=")
        .and_then(|rest| rest.strip_suffix("; Path=/; HttpOnly; SameSite=Lax"))
        .unwrap_or_else(|| panic!("{attributes}"))
        .parse()
        .expect("seconds");
    assert!((2_591_990..=2_592_000).contains(&age), "{age}");
    let claims = part(value, 1);
    let life = claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat);
    assert_eq!(life, Some(2_592_000));
    assert_eq!(me(&app, &pair).await.ok()["username"], "admin");
    // Without `cookie: true`, the response sets none.
    let plain = json!({ "username": "admin", "password": PASSWORD });
    let plain = app.anyone().post("/v1/auth/login", plain).await;
    assert!(!plain.headers.contains_key("set-cookie"));
    app.finish().await;
}

#[tokio::test]
async fn cookie_has_a_safe_name_and_secure_on_https() {
    let app = App::with(|config| {
        config.server.public_url = Some("https://gate.example.com/g".parse().expect("a URL"));
    })
    .await;
    let answer = login(&app, "admin", Some("https://gate.example.com")).await;
    let (pair, attributes) = set_cookie(&answer);
    assert!(pair.starts_with("__Host-streamgate="), "{pair}");
    assert!(attributes.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{attributes}");
    me(&app, &pair).await.ok();
    for origin in ["https://gate.example.com:8443", "http://gate.example.com"] {
        login(&app, "admin", Some(origin)).await.problem(403);
    }
    // Another host of the domain can set a cookie of this name.
    let planted = pair.replace("__Host-", "");
    me(&app, &planted).await.problem(401);
    app.finish().await;
}

#[tokio::test]
async fn login_for_a_cookie_needs_an_allowed_origin() {
    let app = app().await;
    for origin in [None, Some(OTHER), Some("null"), Some("https://app.example.com.evil.com")] {
        let refused = login(&app, "admin", origin).await;
        assert!(!refused.headers.contains_key("set-cookie"), "{origin:?}");
        refused.problem(403);
    }
    let own = app.url("");
    login(&app, "admin", Some(&own)).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn unsafe_request_with_a_cookie_needs_an_allowed_origin() {
    let app = app().await;
    let cookie = cookie(&app, "admin").await;
    let create = || (Method::POST, "/v1/users/00000000-0000-0000-0000-000000000000/revoke");
    for origin in [None, Some(OTHER), Some("null"), Some("http://app.example.com")] {
        call(&app, create(), &cookie, origin).await.problem(403);
    }
    // Another port or another scheme of the gateway's own host is another origin.
    let ip = app.address.ip();
    for origin in
        [format!("http://{ip}:1"), format!("http://{ip}"), format!("https://{}", app.address)]
    {
        call(&app, create(), &cookie, Some(&origin)).await.problem(403);
    }
    // The user does not exist, so the request was accepted.
    for origin in [APP, &app.url("")] {
        call(&app, create(), &cookie, Some(origin)).await.problem(404);
    }
    // Any page can make a browser send a GET. A page of another origin gets nothing.
    call(&app, (Method::GET, "/v1/auth/me"), &cookie, Some(OTHER)).await.problem(403);
    call(&app, (Method::GET, "/v1/auth/me"), &cookie, Some("null")).await.problem(403);
    me(&app, &cookie).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn two_origins_count_as_another_origin() {
    let app = app().await;
    let cookie = cookie(&app, "admin").await;
    let request = app.anyone().request(Method::GET, "/v1/auth/me").header("cookie", cookie);
    Caller::answer(request.header("origin", APP).header("origin", APP)).await.problem(403);
    app.finish().await;
}

#[tokio::test]
async fn stream_opens_with_a_cookie_and_ends_at_logout() {
    let app = app().await;
    let (operator, topology) = operator_with_topology(&app).await;
    let cookie = cookie(&app, "admin").await;
    let path = format!("/v1/topologies/{topology}/stream");
    let headers = format!("Cookie: other=1; {cookie}\r\nOrigin: {APP}\r\n");
    let request = app.anyone().stream_request(&path, &headers);
    let mut reader = SseReader::open(app.address, &request).await;
    assert_eq!(reader.header("access-control-allow-origin"), Some(APP));
    assert_eq!(reader.header("access-control-allow-credentials"), Some("true"));
    reader.expect("snapshot").await;
    operator.mutate(topology, 1).await.ok();
    reader.expect("mutation.enqueued").await;
    let logout = call(&app, (Method::POST, "/v1/auth/logout"), &cookie, Some(APP)).await;
    let (pair, attributes) = set_cookie(&logout);
    assert_eq!((logout.status.as_u16(), &*pair), (204, "streamgate="));
    assert!(attributes.starts_with("Max-Age=0;"), "{attributes}");
    assert_eq!(reader.expect("stream.closed").await.data["reason"], "session_revoked");
    // The browser still sends a cookie that it has from another tab. The refusal removes it.
    let late = me(&app, &cookie).await;
    assert_eq!(set_cookie(&late).0, "streamgate=");
    invalid_token(late);
    app.finish().await;
}

#[tokio::test]
async fn requests_extend_the_session_but_open_streams_do_not() {
    let app = app().await;
    let (_, topology) = operator_with_topology(&app).await;
    let cookie = cookie(&app, "admin").await;
    let first = me(&app, &cookie).await.ok();
    let session: Uuid = first["session_id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let set = async |column: login_session::Column, at: Timestamp| {
        login_session::Entity::update_many()
            .col_expr(column, Expr::value(at))
            .filter(login_session::Column::Id.eq(session))
            .exec(app.gateway.database.writer())
            .await
            .expect("an update");
        app.gateway.login_sessions.recheck_user(Uuid::nil()).await.expect("a look-up");
    };
    let life = app.gateway.login_sessions.life();
    // A stream that is open does not count as use.
    let request = app.anyone().stream_request(
        &format!("/v1/topologies/{topology}/stream"),
        &format!("Cookie: {cookie}\r\n"),
    );
    let mut reader = SseReader::open(app.address, &request).await;
    reader.expect("snapshot").await;
    let half = Timestamp::now() + life / 2;
    set(login_session::Column::ExpiresAt, half).await;
    app.gateway.login_sessions.recheck().await.expect("a look-up");
    let row = login_session::Entity::find_by_id(session).one(app.gateway.database.reader()).await;
    assert_eq!(row.expect("a query").expect("a row").expires_at, half);
    // A request does, up to the absolute end.
    let extended = end(&me(&app, &cookie).await.ok());
    assert!(extended > half + life / 3, "{extended:?}");
    let last = Timestamp::now() + life / 3;
    set(login_session::Column::EndsAt, last).await;
    set(login_session::Column::ExpiresAt, Timestamp::now() + life / 6).await;
    app.gateway.login_sessions.recheck().await.expect("a look-up");
    let extended = end(&me(&app, &cookie).await.ok());
    assert_eq!(extended, last);
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn session_that_was_just_revoked_is_not_extended() {
    let app = app().await;
    let me = me(&app, &cookie(&app, "admin").await).await.ok();
    let id = |name: &str| me[name].as_str().and_then(|id| id.parse::<Uuid>().ok()).expect("an id");
    let (user, session) = (id("id"), id("session_id"));
    let soon = Timestamp::now() + Duration::from_mins(1);
    login_session::Entity::update_many()
        .col_expr(login_session::Column::ExpiresAt, Expr::value(soon))
        .exec(app.gateway.database.writer())
        .await
        .expect("an update");
    let sessions = &app.gateway.login_sessions;
    sessions.recheck_user(user).await.expect("a look-up");
    let mut principal = sessions.validate(session, user).await.expect("a session");
    sessions.revoke_user(user).await.expect("a revocation");
    sessions.extend(&mut principal).await;
    let row = login_session::Entity::find_by_id(session).one(app.gateway.database.reader()).await;
    assert_eq!(row.expect("a query").expect("a row").expires_at, soon);
    app.finish().await;
}

#[tokio::test]
async fn refresh_does_not_pass_the_absolute_end() {
    let app = App::with(|config| {
        config.tokens.session_max_seconds = 90;
        config.tokens.login_session_seconds = 80;
    })
    .await;
    let pair = app.tokens("admin").await;
    let next = crate::support::auth::refresh(&app, &pair).await.ok();
    let me = bearer(&app, next["access_token"].as_str().expect("a token")).me().await;
    let left = end(&me).since(Timestamp::now());
    assert!(left <= Duration::from_secs(90), "{left:?}");
    app.finish().await;
}

#[tokio::test]
async fn login_starts_a_new_session_and_keeps_no_old_id() {
    let app = app().await;
    let planted = cookie(&app, "admin").await;
    let user = app.create_user("victim", Role::Viewer).await;
    // The attacker has planted a cookie in the victim's browser. The victim logs in.
    let body = json!({ "username": "victim", "password": PASSWORD, "cookie": true });
    let login = app.anyone().request(Method::POST, "/v1/auth/login").json(&body);
    let answer = Caller::answer(login.header("cookie", &planted).header("origin", APP)).await;
    let (own, _) = set_cookie(&answer);
    answer.ok();
    assert_eq!(me(&app, &own).await.ok()["id"], user.id.to_string());
    let planted_me = me(&app, &planted).await.ok();
    assert_eq!(planted_me["username"], "admin");
    app.finish().await;
}

#[tokio::test]
async fn cookie_and_tokens_are_not_exchangeable() {
    let app = app().await;
    let (_, topology) = operator_with_topology(&app).await;
    let pair = cookie(&app, "admin").await;
    let (_, value) = pair.split_once('=').expect("a value");
    let tokens = app.tokens("admin").await;
    let access = tokens["access_token"].as_str().expect("a token");
    let admin = bearer(&app, access);
    let stream = admin.mint(topology).await["token"].as_str().expect("a token").to_owned();
    invalid_token(bearer(&app, value).get("/v1/auth/me").await);
    let path = format!("/v1/topologies/{topology}/stream?stream_token={value}");
    invalid_token(app.anyone().get(&path).await);
    for token in [access, &stream] {
        invalid_token(me(&app, &format!("streamgate={token}")).await);
    }
    // A stream token is good for its stream only, even if the browser also sends a cookie.
    let path = format!("/v1/auth/me?stream_token={stream}");
    invalid_token(call(&app, (Method::GET, &path), &pair, None).await);
    app.finish().await;
}

#[tokio::test]
async fn cookie_with_one_wrong_part_is_refused() {
    let app = app().await;
    let pair = cookie(&app, "admin").await;
    let (_, value) = pair.split_once('=').expect("a value");
    let secret = app.gateway.config.data_dir.join("keys/cookie.secret");
    let key = EncodingKey::from_secret(&std::fs::read(secret).expect("the key of cookies"));
    let (header, claims) = (jsonwebtoken::decode_header(value).expect("a header"), part(value, 1));
    let forged = |typ: &str, name: &str, value: Value| {
        let header = Header { typ: Some(typ.to_owned()), ..header.clone() };
        let mut claims = claims.clone();
        claims[name] = value;
        format!("streamgate={}", sign(&header, &claims, &key))
    };
    let now = Timestamp::now().seconds();
    me(&app, &forged("cookie+jwt", "iat", json!(now))).await.ok();
    for (typ, name, value) in [
        ("at+jwt", "iat", json!(now)),
        ("stream+jwt", "iat", json!(now)),
        ("JWT", "iat", json!(now)),
        ("cookie+jwt", "aud", json!("streamgate")),
        ("cookie+jwt", "aud", json!("streamgate/streams")),
        ("cookie+jwt", "iss", json!("elsewhere")),
        ("cookie+jwt", "exp", json!(now - 1)),
        ("cookie+jwt", "sub", json!(Uuid::now_v7())),
    ] {
        let answer = me(&app, &forged(typ, name, value)).await;
        assert_eq!(answer.status, 401, "{typ} {name}: {answer:?}");
    }
    app.finish().await;
}

#[tokio::test]
async fn other_machine_gets_no_cookie_without_https() {
    let app = App::with(|config| {
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let body = json!({ "username": "admin", "password": PASSWORD, "cookie": true });
    let request = |scheme: &str| {
        let login = app.anyone().request(Method::POST, "/v1/auth/login").json(&body);
        login
            .header("x-forwarded-for", "203.0.113.7")
            .header("x-forwarded-proto", scheme)
            .header("origin", format!("{scheme}://{}", app.address))
    };
    let refused = Caller::answer(request("http")).await;
    assert!(!refused.headers.contains_key("set-cookie"));
    assert!(refused.problem(400).contains("HTTPS"));
    let answer = Caller::answer(request("https")).await;
    assert!(set_cookie(&answer).0.starts_with("__Host-streamgate="));
    app.finish().await;
}
