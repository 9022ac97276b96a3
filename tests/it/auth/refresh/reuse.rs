//! A refresh token that is used again after the grace period ends its login session.

use entity::{Timestamp, user::Role};
use serde_json::json;

use crate::{
    auth::refresh::chain::{rows, text, used_earlier},
    support::{
        App,
        auth::{bearer, invalid_token, me, refresh},
        log::Log,
        soon,
    },
};

#[tokio::test]
async fn token_reused_after_the_grace_period_ends_only_its_session() {
    let app = App::start().await;
    let bystander = app.tokens("admin").await;
    for successor_is_used in [false, true] {
        let stolen = app.tokens("admin").await;
        let successor = refresh(&app, &stolen).await.ok();
        if successor_is_used {
            refresh(&app, &successor).await.ok();
        }
        used_earlier(&app, 11).await;
        assert_eq!(invalid_token(refresh(&app, &stolen).await), "the login session has ended");
        for pair in [&stolen, &successor] {
            assert_eq!(invalid_token(me(&app, pair).await), "the login session has ended");
            assert_eq!(invalid_token(refresh(&app, pair).await), "the login session has ended");
        }
    }
    me(&app, &bystander).await.ok();
    let count = app.metric("streamgate_authentications_total{outcome=\"refresh_reused\"}");
    assert!((count - 2.0).abs() < f64::EPSILON, "{count}");
    app.finish().await;
}

#[tokio::test]
async fn theft_within_the_grace_period_does_not_fork_the_chain() {
    let app = App::start().await;
    let first = app.tokens("admin").await;
    let (ours, theirs) = tokio::join!(refresh(&app, &first), refresh(&app, &first));
    let (ours, theirs) = (ours.ok(), theirs.ok());
    assert_eq!(ours["refresh_token"], theirs["refresh_token"]);
    // The thief refreshes, and the user does so 15 minutes later.
    let stolen = refresh(&app, &theirs).await.ok();
    used_earlier(&app, 900).await;
    invalid_token(refresh(&app, &ours).await);
    invalid_token(refresh(&app, &stolen).await);
    invalid_token(me(&app, &stolen).await);
    app.finish().await;
}

#[tokio::test]
async fn reused_token_closes_streams_at_once() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 60).await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let pair = app.tokens("admin").await;
    let mut stream = bearer(&app, &text(&pair, "access_token")).watch(topology, "").await;
    stream.expect("snapshot").await;
    refresh(&app, &pair).await.ok();
    used_earlier(&app, 11).await;
    invalid_token(refresh(&app, &pair).await);
    let closed = soon("end of the stream", stream.expect("stream.closed")).await;
    assert_eq!(closed.data, json!({ "reason": "session_revoked" }));
    stream.expect_end().await;
    app.finish().await;
}

#[tokio::test]
async fn successor_is_stored_encrypted_and_only_during_the_grace_period() {
    let app = App::start().await;
    let first = app.tokens("admin").await;
    let second = refresh(&app, &first).await.ok();
    let sealed = async || -> Vec<String> {
        rows(&app).await.into_iter().filter_map(|row| row.successor).collect()
    };
    let [one] = &sealed().await[..] else { panic!("not one stored successor") };
    for pair in [&first, &second] {
        assert!(!one.contains(&text(pair, "refresh_token")));
    }
    // The second token is used now. From here on, only its successor is stored.
    refresh(&app, &second).await.ok();
    let [two] = &sealed().await[..] else { panic!("not one stored successor") };
    assert_ne!(one, two);
    // The successor is swept within the grace period and after it. No session is older than this
    // time.
    let long_ago = Timestamp(0);
    app.gateway.login_sessions.prune(long_ago).await.expect("a sweep");
    assert_eq!(sealed().await.len(), 1);
    used_earlier(&app, 71).await;
    app.gateway.login_sessions.prune(long_ago).await.expect("a sweep");
    assert_eq!(sealed().await.len(), 0);
    app.finish().await;
}

#[tokio::test]
async fn reused_token_is_a_security_event_in_the_log() {
    let log = Log::default();
    let logging = log.start();
    let app = App::start().await;
    let pair = app.tokens("admin").await;
    let who = me(&app, &pair).await.ok();
    let second = refresh(&app, &pair).await.ok();
    used_earlier(&app, 11).await;
    invalid_token(refresh(&app, &pair).await);
    app.finish().await;
    drop(logging);
    let mut events = log.lines();
    let text_of_all = json!(events).to_string();
    events.retain(|line| line["kind"] == "refresh.reused");
    let [event] = &events[..] else { panic!("one event: {text_of_all}") };
    assert_eq!(
        (&event["level"], &event["target"]),
        (&json!("WARN"), &json!("streamgate::security"))
    );
    assert_eq!(event["target_user"], who["id"]);
    assert_eq!(event["session"], who["session_id"]);
    assert_eq!(event["address"], "127.0.0.1");
    for token in [&pair, &second].map(|pair| text(pair, "refresh_token")) {
        assert!(!text_of_all.contains(&token));
    }
}
