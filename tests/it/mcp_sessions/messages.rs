//! MCP sessions: who takes part, what a message is, and how a session ends.

use entity::{Timestamp, mcp_session, user::Role};
use reqwest::Method;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::{App, Caller, id_of, until};

fn request(id: u64) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "x" } })
}

/// A user's session, and its path.
async fn session_of(user: &Caller, new: Value) -> String {
    let session = user.post("/v1/mcp-sessions", new).await.ok();
    format!("/v1/mcp-sessions/{}", id_of(&session))
}

#[tokio::test]
async fn messages_go_to_all_who_watch_as_they_are_and_in_order_until_the_session_is_closed() {
    let app = App::start().await;
    let (user, agent) = (app.caller(Role::Viewer).await, app.caller(Role::Agent).await);
    let path = session_of(&user, json!({ "name": "notebook", "agent": agent.id().await })).await;
    let messages = format!("{path}/messages");
    let mut owner = user.stream(&format!("{path}/stream"), "").await;
    let mut served = agent.stream(&format!("{path}/stream"), "").await;
    for reader in [&mut owner, &mut served] {
        let session = &reader.expect("snapshot").await.data["session"];
        assert_eq!((&session["status"], &session["name"]), (&json!("open"), &json!("notebook")));
    }
    let answer = user.post(&messages, request(1)).await;
    assert_eq!(answer.status, 202);
    let cursor = answer.ok()["cursor"].clone();
    let reply =
        json!({ "jsonrpc": "2.0", "id": 1, "result": { "content": [], "text": "\u{2028}" } });
    agent.post(&messages, reply.clone()).await.ok();
    for reader in [&mut owner, &mut served] {
        let first = reader.expect("message").await;
        assert_eq!((first.data, json!(first.id)), (request(1), cursor.clone()));
        assert_eq!(reader.expect("message").await.data, reply);
    }
    for _ in 0..2 {
        let closed = user.call(Method::DELETE, &path, None).await;
        assert_eq!(closed.status, 204, "{closed:?}");
    }
    for reader in [&mut owner, &mut served] {
        let closed = reader.expect("closed").await;
        assert_eq!(closed.data["reason"], "deleted");
        assert_eq!(closed.data["session"]["status"], "closed");
        assert_eq!(reader.expect("stream.closed").await.data["reason"], "completed");
        reader.expect_end().await;
        // Nothing will follow, so an `EventSource` stops.
        let query = format!("last_event_id={}", closed.id.expect("a cursor"));
        let again = user.stream(&format!("{path}/stream?{query}"), "").await;
        assert_eq!(again.status(), 204);
    }
    user.post(&messages, request(2)).await.problem(409);
    assert_eq!(user.get(&path).await.ok()["status"], "closed");
    let page = user.get(&format!("{path}/events")).await.ok();
    assert_eq!(page["events"].as_array().map(Vec::len), Some(3));
    app.finish().await;
}

#[tokio::test]
async fn owner_agent_and_administrators_watch_and_for_others_there_is_nothing() {
    let app = App::start().await;
    let (user, agent) = (app.caller(Role::Viewer).await, app.caller(Role::Agent).await);
    let admin = app.log_in("admin").await;
    let own = session_of(&user, json!({})).await;
    let served = session_of(&user, json!({ "agent": agent.id().await })).await;
    let others = [
        app.caller(Role::Viewer).await,
        app.caller(Role::Agent).await,
        app.caller(Role::Operator).await,
    ];
    for (path, may_agent_watch) in [(&own, false), (&served, true)] {
        let may_watch = |caller| (caller, true);
        let callers = [may_watch(&user), may_watch(&admin), (&agent, may_agent_watch)];
        let nobody = others.iter().map(|other| (other, false));
        for (caller, may) in callers.into_iter().chain(nobody) {
            for part in ["", "/events", "/stream?max_events=1"] {
                let answer = caller.get(&format!("{path}{part}")).await;
                assert_eq!(answer.status, if may { 200 } else { 404 }, "{path}{part}");
            }
        }
        for other in &others {
            other.call(Method::DELETE, path, None).await.problem(404);
        }
    }
    agent.call(Method::DELETE, &served, None).await.problem(404);
    // Any agent may publish where none was named; only that one where one was.
    let [viewer, another, _] = &others;
    for (caller, path, status) in [
        (&user, &own, 202),
        (&agent, &own, 202),
        (another, &own, 202),
        (viewer, &own, 404),
        (&user, &served, 202),
        (&agent, &served, 202),
        (another, &served, 404),
        (&admin, &served, 202),
    ] {
        let answer = caller.post(&format!("{path}/messages"), request(1)).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let count = async |caller: &Caller| {
        caller.get("/v1/mcp-sessions").await.ok()["items"].as_array().map(Vec::len)
    };
    for (caller, expected) in [(&user, 2), (&agent, 1), (viewer, 0), (&admin, 2)] {
        assert_eq!(count(caller).await, Some(expected));
    }
    // An agent that is one no longer does not watch on.
    let role = json!({ "role": "viewer" });
    let path = format!("/v1/users/{}", agent.id().await);
    admin.call(Method::PATCH, &path, Some(role)).await.ok();
    agent.get(&served).await.problem(404);
    assert_eq!(count(&agent).await, Some(0));
    // Nor can somebody be named who is none.
    let viewer = viewer.id().await;
    user.post("/v1/mcp-sessions", json!({ "agent": viewer })).await.problem(404);
    app.finish().await;
}

#[tokio::test]
async fn what_is_no_json_rpc_message_is_refused_and_tells_why() {
    let app = App::start().await;
    let user = app.caller(Role::Viewer).await;
    let messages = format!("{}/messages", session_of(&user, json!({})).await);
    for (message, why) in [
        (json!([request(1)]), "object"),
        (json!({ "id": 1, "method": "ping" }), "jsonrpc"),
        (json!({ "jsonrpc": "2.0", "id": 1 }), "without a method"),
        (json!({ "jsonrpc": "2.0", "id": 1.5, "method": "ping" }), "`id`"),
    ] {
        let detail = user.post(&messages, message).await.problem(400);
        assert!(detail.contains(why), "{detail}");
    }
    let long = json!({ "jsonrpc": "2.0", "method": "x", "params": ["y".repeat(262_144)] });
    user.post(&messages, long).await.problem(400);
    app.finish().await;
}

#[tokio::test]
async fn an_idle_session_is_closed_unless_somebody_watches_and_later_deleted() {
    let app = App::with(|config| {
        config.mcp_sessions.idle_seconds = 1;
        config.retention.mcp_session_seconds = 2;
        config.retention.sweep_seconds = 1;
    })
    .await;
    let user = app.caller(Role::Viewer).await;
    let idle = session_of(&user, json!({})).await;
    let watched = session_of(&user, json!({})).await;
    let mut reader = user.stream(&format!("{watched}/stream"), "").await;
    reader.expect("snapshot").await;
    until("end of the idle one", async || user.get(&idle).await.body["status"] != "open").await;
    let page = user.get(&format!("{idle}/events")).await.ok();
    assert_eq!(page["events"][0]["data"]["reason"], "idle");
    until("deletion of the idle one", async || user.get(&idle).await.status == 404).await;
    user.post(&format!("{watched}/messages"), request(1)).await.ok();
    reader.expect("message").await;
    drop(reader);
    until("end of the other", async || user.get(&watched).await.body["status"] != "open").await;
    app.finish().await;
}

#[tokio::test]
async fn a_session_in_which_somebody_speaks_while_idle_ones_are_closed_stays_open() {
    let app = App::with(|config| config.retention.sweep_seconds = 1).await;
    let user = app.caller(Role::Viewer).await;
    let mut paths = Vec::new();
    for _ in 0..100 {
        paths.push(session_of(&user, json!({})).await);
    }
    let [first, .., before_last, last] = paths.as_slice() else { panic!("no sessions") };
    // All of them are idle, and listed as such when the first one is closed.
    mcp_session::Entity::update_many()
        .col_expr(mcp_session::Column::CreatedAt, Expr::value(Timestamp(0)))
        .exec(app.gateway.database.writer())
        .await
        .expect("an update");
    let is_closed = async |path: &str| user.get(path).await.ok()["status"] == "closed";
    until("end of the first", async || is_closed(first).await).await;
    user.post(&format!("{last}/messages"), request(1)).await.ok();
    assert!(!is_closed(before_last).await, "it spoke too late to show anything");
    until("end of the one before the last", async || is_closed(before_last).await).await;
    let next = session_of(&user, json!({})).await;
    let id: Uuid = next.rsplit('/').next().and_then(|id| id.parse().ok()).expect("an id");
    mcp_session::Entity::update_many()
        .col_expr(mcp_session::Column::CreatedAt, Expr::value(Timestamp(0)))
        .filter(mcp_session::Column::Id.eq(id))
        .exec(app.gateway.database.writer())
        .await
        .expect("an update");
    // One more time round, so that the last one has been looked at for sure.
    until("end of the next", async || is_closed(&next).await).await;
    assert!(!is_closed(last).await, "closed as idle, with a message in it");
    app.finish().await;
}
