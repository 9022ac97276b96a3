//! `POST /v1/auth/login`.

use std::time::{Duration, Instant};

use entity::{Timestamp, login_session, refresh_token, user::Role};
use reqwest::Method;
use sea_orm::{EntityTrait, prelude::Expr};
use serde_json::{Value, json};

use crate::support::{
    Answer, App, PASSWORD,
    auth::{invalid_token, me, refresh},
    id_of,
};

async fn log_in(app: &App, username: &str, password: &str) -> Answer {
    let login = json!({ "username": username, "password": password });
    app.anyone().post("/v1/auth/login", login).await
}

#[tokio::test]
async fn login_answers_with_the_documented_token_pair() {
    let app = App::start().await;
    let answer = log_in(&app, "admin", PASSWORD).await;
    assert_eq!(answer.status, 200);
    // RFC 6749, section 5.1.
    assert_eq!(answer.headers["cache-control"], "no-store");
    let pair = answer.ok();
    let mut names: Vec<_> = pair.as_object().expect("an object").keys().cloned().collect();
    names.sort();
    let contract =
        ["access_token", "expires_in", "refresh_expires_in", "refresh_token", "token_type"];
    assert_eq!(names, contract);
    assert_eq!(pair["token_type"], "Bearer");
    assert_eq!((&pair["expires_in"], &pair["refresh_expires_in"]), (&json!(900), &json!(604_800)));
    let token = pair["refresh_token"].as_str().expect("a refresh token");
    assert_eq!(token.len(), 43, "256 bits: {token}");
    let me = me(&app, &pair).await.ok();
    assert_eq!((&me["username"], &me["role"]), (&json!("admin"), &json!("admin")));
    // The database stores no token in plain text, because a stolen database must not reveal tokens.
    let rows =
        refresh_token::Entity::find().all(app.gateway.database.reader()).await.expect("rows");
    assert!(rows.iter().all(|row| row.hash != token));
    app.finish().await;
}

#[tokio::test]
async fn token_lifetimes_come_from_the_configuration() {
    let app = App::with(|config| {
        config.tokens.access_seconds = 61;
        config.tokens.login_session_seconds = 77;
    })
    .await;
    let pair = app.tokens("admin").await;
    assert_eq!((&pair["expires_in"], &pair["refresh_expires_in"]), (&json!(61), &json!(77)));
    app.finish().await;
}

#[tokio::test]
async fn both_tokens_of_an_expired_session_are_refused() {
    let app = App::start().await;
    let pair = app.tokens("admin").await;
    login_session::Entity::update_many()
        .col_expr(login_session::Column::ExpiresAt, Expr::value(Timestamp(Timestamp::now().0 - 1)))
        .exec(app.gateway.database.writer())
        .await
        .expect("an update");
    assert_eq!(invalid_token(me(&app, &pair).await), "the login session has expired");
    assert_eq!(invalid_token(refresh(&app, &pair).await), "the login session has expired");
    app.finish().await;
}

#[tokio::test]
async fn failed_login_does_not_say_why() {
    let app = App::start().await;
    let disabled = app.caller(Role::Viewer).await.me().await;
    let admin = app.log_in("admin").await;
    let path = format!("/v1/users/{}", id_of(&disabled));
    admin.call(Method::PATCH, &path, Some(json!({ "disabled": true }))).await.ok();
    let disabled = disabled["username"].as_str().expect("a name");

    let mut seen: Option<(Value, Vec<String>)> = None;
    for (username, password) in [
        ("admin", "not the password"),
        ("admin", ""),
        ("admin", "a password for tests "),
        ("nobody", PASSWORD),
        (disabled, PASSWORD),
        (disabled, "not the password"),
        ("admin\0", PASSWORD),
        ("\0", PASSWORD),
        ("ADMIN", PASSWORD),
        ("", PASSWORD),
        ("admin' --", PASSWORD),
        (&"a".repeat(64), PASSWORD),
    ] {
        let answer = log_in(&app, username, password).await;
        let mut body = answer.body.clone();
        body.as_object_mut().expect("an object").remove("instance");
        let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        invalid_token(answer);
        let first = seen.get_or_insert_with(|| (body.clone(), names.clone()));
        assert_eq!(*first, (body, names), "{username:?}");
    }
    app.finish().await;
}

#[tokio::test]
async fn unknown_name_takes_as_long_as_a_wrong_password() {
    let app = App::start().await;
    let disabled = app.create_user("gone", Role::Viewer).await;
    let change = streamgate::auth::user::UserUpdate { disabled: Some(true), ..Default::default() };
    app.gateway.users.update(disabled.id, change).await.expect("a change");
    // The shortest time of several attempts per name. Other load on the machine only makes an
    // attempt longer, so more attempts come closer to the true time.
    let mut shortest = ["admin", "nobody", "NOT A NAME", "gone"].map(|name| (name, Duration::MAX));
    for attempt in 1.. {
        for (username, shortest) in &mut shortest {
            let began = Instant::now();
            log_in(&app, username, "not the password").await.problem(401);
            *shortest = began.elapsed().min(*shortest);
        }
        let (_, known) = shortest[0];
        if attempt >= 6 && shortest.iter().all(|(_, unknown)| *unknown > known / 2) {
            break;
        }
        assert!(attempt < 40, "{shortest:?}");
    }
    app.finish().await;
}
