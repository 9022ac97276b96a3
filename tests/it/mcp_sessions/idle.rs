//! Idle MCP sessions are closed, and closed ones deleted.

use entity::{Timestamp, mcp_session, user::Role};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App,
    mcp_session::{request, session_of},
    until,
};

#[tokio::test]
async fn unwatched_idle_session_is_closed_and_later_deleted() {
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
    until("end of the idle session", async || user.get(&idle).await.body["status"] != "open").await;
    let page = user.get(&format!("{idle}/events")).await.ok();
    assert_eq!(page["events"][0]["data"]["reason"], "idle");
    until("deletion of the idle session", async || user.get(&idle).await.status == 404).await;
    user.post(&format!("{watched}/messages"), request(1)).await.ok();
    reader.expect("message").await;
    drop(reader);
    until("end of the other session", async || user.get(&watched).await.body["status"] != "open")
        .await;
    app.finish().await;
}

#[tokio::test]
async fn session_with_a_new_message_is_not_closed_as_idle() {
    let app = App::with(|config| config.retention.sweep_seconds = 1).await;
    let user = app.caller(Role::Viewer).await;
    let mut paths = Vec::new();
    for _ in 0..100 {
        paths.push(session_of(&user, json!({})).await);
    }
    let [first, .., before_last, last] = paths.as_slice() else { panic!("no sessions") };
    // All of them are idle, and the sweep has listed all of them when it closes the first one.
    mcp_session::Entity::update_many()
        .col_expr(mcp_session::Column::CreatedAt, Expr::value(Timestamp(0)))
        .exec(app.gateway.database.writer())
        .await
        .expect("an update");
    let is_closed = async |path: &str| user.get(path).await.ok()["status"] == "closed";
    until("end of the first session", async || is_closed(first).await).await;
    user.post(&format!("{last}/messages"), request(1)).await.ok();
    assert!(!is_closed(before_last).await, "the sweep had passed before the message");
    until("end of the session before the last", async || is_closed(before_last).await).await;
    let next = session_of(&user, json!({})).await;
    let id: Uuid = next.rsplit('/').next().and_then(|id| id.parse().ok()).expect("an id");
    mcp_session::Entity::update_many()
        .col_expr(mcp_session::Column::CreatedAt, Expr::value(Timestamp(0)))
        .filter(mcp_session::Column::Id.eq(id))
        .exec(app.gateway.database.writer())
        .await
        .expect("an update");
    // Waits for another sweep, so that the last session was certainly checked.
    until("end of the next session", async || is_closed(&next).await).await;
    assert!(!is_closed(last).await, "closed as idle despite its message");
    app.finish().await;
}
