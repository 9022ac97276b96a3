//! What is answered from memory, and that nothing is which has ended or changed.

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use entity::{Timestamp, session, user::Role};
use reqwest::Method;
use sea_orm::{EntityTrait, prelude::Expr};
use serde_json::{Value, json};
use streamgate::{auth::login_session::SessionError, bus::InProcessBus};
use uuid::Uuid;

use crate::{
    auth::access_token::{bearer, invalid_token},
    cluster::events::{DeadBus, pair},
    support::app::{App, Caller, PASSWORD, Store, id_of, until},
};

/// Nothing is looked up again in the course of a test because it has become too old.
async fn without_heartbeat() -> App {
    App::with(|config| config.streams.heartbeat_seconds = 60).await
}

async fn me(caller: &Caller) -> Value {
    caller.get("/v1/auth/me").await.ok()
}

/// The URL of the topology's stream, with a stream token.
async fn ticket(caller: &Caller, topology: Uuid) -> String {
    let wanted = json!({ "family": "topology", "id": topology });
    let minted = caller.post("/v1/stream-tokens", wanted).await.ok();
    minted["url"].as_str().expect("a URL").to_owned()
}

fn patch(change: Value) -> (Method, &'static str, Option<Value>) {
    (Method::PATCH, "", Some(change))
}

#[tokio::test]
async fn who_and_what_is_known_is_let_in_without_the_database() {
    let app = without_heartbeat().await;
    let operator = app.caller(Role::Operator).await;
    let stranger = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let by_header = format!("/v1/topologies/{topology}/stream");
    let by_token = ticket(&operator, topology).await;
    app.gateway.database.clone().close().await.expect("no database");

    // A HEAD is decided as a GET is, and ends where a GET would read the topology's state.
    for _ in 0..3 {
        assert_eq!(operator.call(Method::HEAD, &by_header, None).await.status, 200);
        assert_eq!(app.anyone().call(Method::HEAD, &by_token, None).await.status, 200);
        me(&operator).await;
    }
    // There is indeed no database: not for who is unknown, not for what is.
    let elsewhere = format!("/v1/topologies/{}/stream", Uuid::now_v7());
    for (caller, path) in [(&stranger, &by_header), (&operator, &elsewhere)] {
        let answer = caller.call(Method::HEAD, path, None).await;
        assert!(answer.status.is_server_error(), "{path}: {answer:?}");
    }
    // One each for the two callers, and one for what is not there: a topology is known as soon as
    // it is made.
    for (cache, looks) in [("token", 2.0), ("session", 2.0), ("visibility", 1.0)] {
        let [hits, misses] = ["hit", "miss"].map(|outcome| {
            let labels = format!("{{cache=\"{cache}\",outcome=\"{outcome}\"}}");
            app.metric(&format!("streamgate_cache_lookups_total{labels}"))
        });
        assert!(hits >= 6.0 && (misses - looks).abs() < f64::EPSILON, "{cache}: {hits}, {misses}");
    }
    app.finish().await;
}

#[tokio::test]
async fn whoever_is_known_is_refused_at_the_very_next_request() {
    let app = without_heartbeat().await;
    let admin = app.log_in("admin").await;
    let topology = app.active_topology(&admin).await;
    for (method, path, body) in [
        patch(json!({ "disabled": true })),
        patch(json!({ "password": "another password" })),
        (Method::POST, "/revoke", None),
        (Method::DELETE, "", None),
        (Method::POST, "/v1/auth/logout", None),
    ] {
        let victim = app.caller(Role::Operator).await;
        let by_token = ticket(&victim, topology).await;
        let id = id_of(&me(&victim).await);
        let (by, path) = match path {
            "/v1/auth/logout" => (&victim, path.to_owned()),
            path => (&admin, format!("/v1/users/{id}{path}")),
        };
        by.call(method, &path, body).await.ok();
        invalid_token(victim.get("/v1/auth/me").await);
        invalid_token(app.anyone().get(&by_token).await);
    }
    app.finish().await;
}

#[tokio::test]
async fn what_a_known_user_may_do_changes_with_the_very_next_request() {
    let app = without_heartbeat().await;
    let admin = app.log_in("admin").await;
    let user = app.caller(Role::Viewer).await;
    let known = me(&user).await;
    let path = format!("/v1/users/{}", id_of(&known));
    let make_as = async |user: &Caller| {
        let new = json!({ "name": format!("t-{}", Uuid::new_v4()) });
        user.post("/v1/topologies", new).await.status.as_u16()
    };
    let make = async || make_as(&user).await;
    for (change, status) in [
        (json!({}), 403),
        (json!({ "role": "operator" }), 201),
        (json!({ "role": "agent" }), 403),
        (json!({ "role": "admin" }), 201),
        (json!({ "disabled": true }), 401),
        // The session has ended for good.
        (json!({ "disabled": false }), 401),
    ] {
        admin.call(Method::PATCH, &path, Some(change.clone())).await.ok();
        assert_eq!(make().await, status, "{change}");
        assert_eq!(make().await, status, "{change}");
    }
    let again = app.log_in(known["username"].as_str().expect("a name")).await;
    assert_eq!(make_as(&again).await, 201);
    app.finish().await;
}

#[tokio::test]
async fn a_refresh_prolongs_a_known_session() {
    let app = without_heartbeat().await;
    let pair = app.tokens("admin").await;
    let admin = bearer(&app, pair["access_token"].as_str().expect("a token"));
    let before = me(&admin).await;
    let refresh = json!({ "refresh_token": pair["refresh_token"] });
    app.anyone().post("/v1/auth/refresh", refresh).await.ok();
    let after = me(&admin).await;
    assert_ne!(after["session_expires_at"], before["session_expires_at"]);
    app.finish().await;
}

#[tokio::test]
async fn what_was_read_before_a_revocation_is_not_remembered_after_it() {
    let app = without_heartbeat().await;
    let sessions = &app.gateway.sessions;
    let ada = app.gateway.users.create("ada", PASSWORD.to_owned(), Role::Viewer).await;
    let ada = ada.expect("a user");
    let mut raced = false;
    for _ in 0..100 {
        let principal = sessions.open(ada.clone()).await.expect("a session").principal;
        let (session, user) = (principal.session_id, principal.user_id);
        let mut look_up = pin!(sessions.validate(session, user));
        // It has asked, and does not get to hear the answer until the session is over.
        if poll_fn(|context| Poll::Ready(look_up.as_mut().poll(context))).await.is_ready() {
            // Unless that was there at once; then once more.
            continue;
        }
        sessions.revoke(session).await.expect("a revocation");
        raced |= look_up.await.is_ok();
        let next = sessions.validate(session, user).await;
        assert!(matches!(next, Err(SessionError::Ended(_))), "{next:?}");
        if raced {
            break;
        }
    }
    // PostgreSQL's driver has more to say before it asks: there the look-up may come too late.
    assert!(raced || app.gateway.config.database.url.is_some(), "never read before");
    app.finish().await;
}

#[tokio::test]
async fn a_known_session_ends_with_its_time_unless_it_was_prolonged_elsewhere() {
    let (one, two) = pair(Arc::new(DeadBus::default()), 60).await;
    let mut callers = Vec::new();
    for name in ["ending", "prolonged"] {
        let made = one.gateway.users.create(name, PASSWORD.to_owned(), Role::Viewer).await;
        made.expect("a user");
        let pair = one.tokens(name).await;
        callers.push((bearer(&two, pair["access_token"].as_str().expect("a token")), pair));
    }
    let [(ending, _), (prolonged, pair)] = &callers[..] else { panic!("two callers") };
    let end = Timestamp::now() + Duration::from_secs(1);
    session::Entity::update_many()
        .col_expr(session::Column::ExpiresAt, Expr::value(end))
        .exec(one.gateway.database.writer())
        .await
        .expect("an update");
    me(ending).await;
    me(prolonged).await;
    let refresh = json!({ "refresh_token": pair["refresh_token"] });
    one.anyone().post("/v1/auth/refresh", refresh).await.ok();
    until("end of the session", async || {
        me(prolonged).await;
        let asked = Timestamp::now();
        let answer = ending.get("/v1/auth/me").await;
        if answer.status == 200 {
            assert!(asked < end, "let in after the end");
            return false;
        }
        assert_eq!(invalid_token(answer), "the login session has expired");
        true
    })
    .await;
    me(prolonged).await;
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn a_known_access_token_ends_with_its_time_and_is_refused_in_a_query_before_and_after() {
    let (store, bus) = (Store::new().await, Arc::new(InProcessBus::default()));
    // Not through the file, where 60 is the least.
    let one = App::on(store.clone(), bus.clone(), |config| config.tokens.access_seconds = 2).await;
    // Would remember it for longer, had it no end of its own.
    let two = App::on(store, bus, |config| config.tokens.access_seconds = 900).await;
    let admin = two.here(&one.log_in("admin").await);
    let token = admin.token.clone().expect("a token");
    let in_query = async || {
        let path = format!("/v1/auth/me?stream_token={token}");
        let detail = invalid_token(two.anyone().get(&path).await);
        assert!(detail.starts_with("an access token must not travel in a URL"), "{detail}");
    };
    in_query().await;
    me(&admin).await;
    in_query().await;
    until("end of the token", async || {
        let answer = admin.get("/v1/auth/me").await;
        answer.status != 200 && invalid_token(answer) == "the token has expired"
    })
    .await;
    in_query().await;
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn news_from_another_gateway_counts_as_soon_as_it_comes() {
    let (one, two) = pair(Arc::new(InProcessBus::default()), 60).await;
    let admin = one.log_in("admin").await;
    for (method, path, body) in [
        patch(json!({ "disabled": true })),
        (Method::POST, "/revoke", None),
        (Method::POST, "/v1/auth/logout", None),
    ] {
        let victim = one.caller(Role::Operator).await;
        let there = two.here(&victim);
        let id = id_of(&me(&there).await);
        let (by, path) = match path {
            "/v1/auth/logout" => (&victim, path.to_owned()),
            path => (&admin, format!("/v1/users/{id}{path}")),
        };
        by.call(method, &path, body).await.ok();
        until("news", async || there.get("/v1/auth/me").await.status == 401).await;
    }
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn without_a_bus_a_change_elsewhere_counts_one_heartbeat_later_at_the_latest() {
    let heartbeat = Duration::from_secs(1);
    let (one, two) = pair(Arc::new(DeadBus::default()), heartbeat.as_secs()).await;
    let admin = one.log_in("admin").await;
    for (method, path, body) in [
        patch(json!({ "disabled": true })),
        patch(json!({ "role": "viewer" })),
        (Method::POST, "/revoke", None),
    ] {
        let there = two.here(&one.caller(Role::Operator).await);
        let id = id_of(&me(&there).await);
        let path = format!("/v1/users/{id}{path}");
        admin.call(method, &path, body).await.ok();
        let deadline = Instant::now() + heartbeat;
        until("the change", async || {
            let asked = Instant::now();
            let answer = there.get("/v1/auth/me").await;
            let as_before = answer.status == 200 && answer.body["role"] == "operator";
            assert!(!as_before || asked < deadline, "{path}");
            !as_before
        })
        .await;
    }
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn who_has_seen_the_last_event_is_told_so_where_nobody_has_heard_of_it() {
    let (one, two) = pair(Arc::new(DeadBus::default()), 60).await;
    let operator = one.caller(Role::Operator).await;
    let topology = one.active_topology(&operator).await;
    let there = two.here(&operator);
    // Known as unfinished, and watched, at the second gateway.
    let mut early = there.watch(topology, "").await;
    early.expect("snapshot").await;
    for status in ["tearing_down", "torn_down"] {
        operator.set_status(topology, status).await.ok();
    }
    let page = operator.get(&format!("/v1/topologies/{topology}/events")).await.ok();
    let last = page["next"].as_str().expect("a cursor");
    let mut late = there.watch(topology, &format!("last_event_id={last}")).await;
    // The first of them makes the gateway hear of it.
    let closed = late.expect("stream.closed").await;
    assert_eq!(closed.data, json!({ "reason": "completed" }));
    late.expect_end().await;
    let again = there.watch(topology, &format!("last_event_id={last}")).await;
    assert_eq!(again.status(), 204);
    drop((early, late, again));
    two.finish().await;
    one.finish().await;
}
