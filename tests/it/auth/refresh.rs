//! Refresh tokens: one chain per login session, whatever races, is lost on the way or is stolen.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use entity::{Timestamp, refresh_token, user::Role};
use futures_util::future::join_all;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, prelude::Expr};
use serde_json::{Value, json};
use streamgate::clock::SETTLING;

use crate::{
    auth::{
        access_token::{bearer, invalid_token},
        login::{me, refresh},
    },
    cluster::events::{DeadBus, pair},
    support::app::{Answer, App, soon},
};

/// Moves the first use of every used refresh token into the past.
async fn used_earlier(app: &App, seconds: u64) {
    let moved = refresh_token::Entity::update_many()
        .col_expr(
            refresh_token::Column::UsedAt,
            Expr::value(Timestamp::now() - Duration::from_secs(seconds)),
        )
        .filter(refresh_token::Column::UsedAt.is_not_null())
        .exec(app.gateway.database.writer())
        .await
        .expect("an update");
    assert!(moved.rows_affected > 0);
}

/// All refresh tokens that are stored.
async fn rows(app: &App) -> Vec<refresh_token::Model> {
    refresh_token::Entity::find().all(app.gateway.database.reader()).await.expect("rows")
}

/// Checks that the session has one token that is not used yet: the chain has no fork.
async fn expect_one_chain(app: &App) {
    let rows = rows(app).await;
    let unused = rows.iter().filter(|row| row.used_at.is_none()).count();
    assert_eq!(unused, 1, "{rows:#?}");
}

/// Checks that the token was refused because its successor is in use.
#[track_caller]
fn superseded(answer: Answer) {
    assert_eq!(answer.body["type"], "https://streamgate.dev/problems/refresh-superseded");
    assert_eq!(answer.body["code"], "refresh_superseded");
    invalid_token(answer);
}

fn text(pair: &Value, name: &str) -> String {
    pair[name].as_str().unwrap_or_else(|| panic!("no {name}: {pair}")).to_owned()
}

#[tokio::test]
async fn a_refresh_rotates_the_token_and_prolongs_the_session() {
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
    // The chain goes on.
    let third = refresh(&app, &second).await.ok();
    me(&app, &third).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn twelve_tabs_that_refresh_at_once_get_one_successor() {
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
async fn tabs_that_share_their_token_never_lose_the_session() {
    let app = App::start().await;
    // What tabs share: the local storage of a browser.
    let storage = Arc::new(Mutex::new(app.tokens("admin").await));
    let tab = async |refreshes: usize| {
        for _ in 0..refreshes {
            let held = storage.lock().expect("no panic").clone();
            let answer = refresh(&app, &held).await;
            if answer.status == 200 {
                let mut stored = storage.lock().expect("no panic");
                // A tab that was slower must not put an older token back.
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
async fn an_answer_lost_on_the_way_can_be_asked_for_again() {
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
async fn a_token_whose_successor_was_used_is_superseded_and_revokes_nothing() {
    let app = App::start().await;
    let first = app.tokens("admin").await;
    let second = refresh(&app, &first).await.ok();
    let third = refresh(&app, &second).await.ok();
    for _ in 0..3 {
        superseded(refresh(&app, &first).await);
    }
    // The successor itself is within its own grace.
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

/// The wall clock is set an hour ahead, or back, and counts again before the grace ends.
#[tokio::test]
async fn a_jump_neither_cuts_nor_prolongs_the_grace() {
    for ahead in [3_600, -3_600] {
        let app = App::start().await;
        app.time.set_ahead(ahead);
        app.gateway.clock.read();
        app.time.pass(SETTLING.saturating_sub(Duration::from_secs(5)));
        let first = app.tokens("admin").await;
        let second = refresh(&app, &first).await.ok();
        app.time.pass(Duration::from_secs(6));
        let again = refresh(&app, &first).await.ok();
        assert_eq!(again["refresh_token"], second["refresh_token"], "{ahead} s");
        // From here on only the new setting counts.
        app.time.pass(Duration::from_secs(6));
        assert_eq!(invalid_token(refresh(&app, &first).await), "the login session has ended");
        app.finish().await;
    }
}

#[tokio::test]
async fn a_used_token_after_the_grace_ends_its_session_and_no_other() {
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
async fn a_thief_within_the_grace_gets_no_fork() {
    let app = App::start().await;
    let first = app.tokens("admin").await;
    let (ours, theirs) = tokio::join!(refresh(&app, &first), refresh(&app, &first));
    let (ours, theirs) = (ours.ok(), theirs.ok());
    assert_eq!(ours["refresh_token"], theirs["refresh_token"]);
    // The thief goes on, and a quarter of an hour later so does the user.
    let stolen = refresh(&app, &theirs).await.ok();
    used_earlier(&app, 900).await;
    invalid_token(refresh(&app, &ours).await);
    invalid_token(refresh(&app, &stolen).await);
    invalid_token(me(&app, &stolen).await);
    app.finish().await;
}

#[tokio::test]
async fn a_reused_token_closes_streams_at_once() {
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
async fn a_successor_is_stored_sealed_and_only_while_it_can_be_asked_for() {
    let app = App::start().await;
    let first = app.tokens("admin").await;
    let second = refresh(&app, &first).await.ok();
    let sealed = async || -> Vec<String> {
        rows(&app).await.into_iter().filter_map(|row| row.successor).collect()
    };
    let [one] = &sealed().await[..] else { panic!("one is sealed") };
    for pair in [&first, &second] {
        assert!(!one.contains(&text(pair, "refresh_token")));
    }
    // Used: only its own successor is kept from now on.
    refresh(&app, &second).await.ok();
    let [two] = &sealed().await[..] else { panic!("one is sealed") };
    assert_ne!(one, two);
    // Swept within the grace and after it. No session is as old as this.
    let long_ago = Timestamp(0);
    app.gateway.sessions.prune(long_ago).await.expect("a sweep");
    assert_eq!(sealed().await.len(), 1);
    used_earlier(&app, 71).await;
    app.gateway.sessions.prune(long_ago).await.expect("a sweep");
    assert_eq!(sealed().await.len(), 0);
    app.finish().await;
}

/// Keeps what is logged.
#[derive(Clone, Default)]
pub struct Log(pub Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Keeps what this thread logs, which runs the server as well.
    pub fn start(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || log.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    /// What was logged.
    pub fn lines(&self) -> Vec<Value> {
        let log = String::from_utf8(self.0.lock().expect("no panic").clone()).expect("UTF-8");
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reused_token_is_a_security_event_in_the_log() {
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
    events.retain(|line| line["target"] == "streamgate::security");
    let [event] = &events[..] else { panic!("one event: {text_of_all}") };
    assert_eq!(event["level"], "WARN");
    assert_eq!(event["fields"]["user"], who["id"]);
    assert_eq!(event["fields"]["session"], who["session_id"]);
    assert_eq!(event["span"]["client"], "127.0.0.1");
    for token in [&pair, &second].map(|pair| text(pair, "refresh_token")) {
        assert!(!text_of_all.contains(&token));
    }
}
