//! `POST /v1/auth/refresh`: one successor per token, even if requests race or a response is lost.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use entity::refresh_token;
use futures_util::future::join_all;
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use streamgate::clock::STABLE_AFTER;

use crate::{
    auth::refresh::chain::{expect_one_chain, superseded, used_earlier},
    support::{
        Answer, App,
        auth::{invalid_token, me, refresh},
        cluster::{DeadBus, pair},
    },
};

#[tokio::test]
async fn refresh_rotates_the_token_and_extends_the_session() {
    let app = App::start().await;
    let first = app.tokens("admin").await;
    let before = me(&app, &first).await.ok();
    let second = refresh(&app, &first).await.ok();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_ne!(first["access_token"], second["access_token"]);
    assert_eq!(second["token_type"], "Bearer");
    let after = me(&app, &second).await.ok();
    assert_eq!(before["session_id"], after["session_id"]);
    let expiry = |me: &Value| me["session_expires_at"].as_str().expect("a time").to_owned();
    assert!(expiry(&before) < expiry(&after), "{before} {after}");
    // The chain continues.
    let third = refresh(&app, &second).await.ok();
    me(&app, &third).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn twelve_concurrent_refreshes_get_one_successor() {
    let app = App::start().await;
    let mut newest = app.tokens("admin").await;
    for round in 0..6 {
        let answers = join_all((0..12).map(|_| refresh(&app, &newest))).await;
        let pairs: Vec<Value> = answers.into_iter().map(Answer::ok).collect();
        for pair in &pairs {
            assert_eq!(pair["refresh_token"], pairs[0]["refresh_token"], "round {round}");
            me(&app, pair).await.ok();
        }
        assert_ne!(newest["refresh_token"], pairs[0]["refresh_token"]);
        expect_one_chain(&app).await;
        newest = pairs[0].clone();
    }
    app.finish().await;
}

#[tokio::test]
async fn two_gateways_give_one_token_the_same_successor() {
    let (one, two) = pair(Arc::new(DeadBus::default()), 60).await;
    let mut newest = one.tokens("admin").await;
    for round in 0..6 {
        let calls = (0..8).map(|tab| refresh(if tab % 2 == 0 { &one } else { &two }, &newest));
        let pairs: Vec<Value> = join_all(calls).await.into_iter().map(Answer::ok).collect();
        for pair in &pairs {
            assert_eq!(pair["refresh_token"], pairs[0]["refresh_token"], "round {round}");
        }
        expect_one_chain(&one).await;
        newest = pairs[0].clone();
    }
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn tabs_that_share_a_token_never_lose_the_session() {
    let app = App::start().await;
    // Tabs share the local storage of a browser.
    let storage = Arc::new(Mutex::new(app.tokens("admin").await));
    let tab = async |refreshes: usize| {
        for _ in 0..refreshes {
            let held = storage.lock().expect("no panic").clone();
            let answer = refresh(&app, &held).await;
            if answer.status == 200 {
                let mut stored = storage.lock().expect("no panic");
                // A slower tab must not store an older token.
                if stored["refresh_token"] == held["refresh_token"] {
                    *stored = answer.ok();
                }
            } else {
                superseded(answer);
            }
        }
    };
    join_all((1..=8).map(|number| tab(4 + number % 3))).await;
    expect_one_chain(&app).await;
    let newest = storage.lock().expect("no panic").clone();
    let last = refresh(&app, &newest).await.ok();
    me(&app, &last).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn lost_refresh_response_can_be_requested_again() {
    let app = App::start().await;
    let first = app.tokens("admin").await;
    let lost = refresh(&app, &first).await.ok();
    used_earlier(&app, 9).await;
    let again = refresh(&app, &first).await.ok();
    assert_eq!(again["refresh_token"], lost["refresh_token"]);
    me(&app, &again).await.ok();
    refresh(&app, &again).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn superseded_token_is_refused_and_revokes_nothing() {
    let app = App::start().await;
    let first = app.tokens("admin").await;
    let second = refresh(&app, &first).await.ok();
    let third = refresh(&app, &second).await.ok();
    for _ in 0..3 {
        superseded(refresh(&app, &first).await);
    }
    // The successor is within its own grace period.
    let again = refresh(&app, &second).await.ok();
    assert_eq!(again["refresh_token"], third["refresh_token"]);
    for pair in [&first, &second, &third] {
        me(&app, pair).await.ok();
    }
    let count = app.metric("streamgate_authentications_total{outcome=\"refresh_superseded\"}");
    assert!((count - 3.0).abs() < f64::EPSILON, "{count}");
    refresh(&app, &third).await.ok();
    expect_one_chain(&app).await;
    app.finish().await;
}

/// The wall clock is set an hour ahead or back, and is stable again before the grace period ends.
#[tokio::test]
async fn clock_jump_neither_shortens_nor_extends_the_grace_period() {
    for ahead in [3_600, -3_600] {
        let app = App::start().await;
        app.time.set_ahead(ahead);
        app.gateway.clock.read();
        app.time.pass(STABLE_AFTER.saturating_sub(Duration::from_secs(5)));
        let first = app.tokens("admin").await;
        let second = refresh(&app, &first).await.ok();
        app.time.pass(Duration::from_secs(6));
        let again = refresh(&app, &first).await.ok();
        assert_eq!(again["refresh_token"], second["refresh_token"], "{ahead} s");
        // From here on, only the new wall clock counts.
        app.time.pass(Duration::from_secs(6));
        assert_eq!(invalid_token(refresh(&app, &first).await), "the login session has ended");
        app.finish().await;
    }
}

#[tokio::test]
async fn unknown_refresh_token_is_refused_without_a_reason() {
    let app = App::start().await;
    let pair = app.tokens("admin").await;
    let access = pair["access_token"].as_str().expect("a token")[..128].to_owned();
    let hash = refresh_token::Entity::find().one(app.gateway.database.reader()).await;
    let hash = hash.expect("rows").expect("a row").hash;
    for garbage in ["", "x", "a\0b", "😀", "' OR 1=1 --", &"q".repeat(128), &access, &hash] {
        let answer = refresh(&app, &json!({ "refresh_token": garbage })).await;
        assert_eq!(invalid_token(answer), "the login session has ended", "{garbage:?}");
    }
    refresh(&app, &json!({ "refresh_token": "q".repeat(129) })).await.problem(400);
    refresh(&app, &pair).await.ok();
    app.finish().await;
}
