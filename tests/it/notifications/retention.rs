//! Old notifications are deleted, and so are those of deleted users.

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App, id_of,
    notification::{notify, user_and_agent},
    soon, until,
};

#[tokio::test]
async fn unread_notifications_are_announced_as_expired_when_deleted() {
    let app = App::with(|config| {
        config.retention.notification_seconds = 1;
        config.retention.sweep_seconds = 1;
    })
    .await;
    let (user, agent, path) = user_and_agent(&app).await;
    let mut reader = user.stream(&format!("{path}/stream"), "").await;
    reader.expect("snapshot").await;
    let (read, unread) = (notify(&agent, &path, 1).await, notify(&agent, &path, 2).await);
    user.post(&format!("{path}/{}/read", id_of(&read)), json!({})).await.ok();
    for kind in ["notification", "notification", "notification.read"] {
        reader.expect(kind).await;
    }
    let expired = reader.expect("notification.expired").await;
    assert_eq!(expired.data, json!({ "unread": [id_of(&unread)] }));
    assert_eq!(user.get(&path).await.ok(), json!({ "items": [] }));
    drop(reader);
    let mut fresh = user.stream(&format!("{path}/stream"), "").await;
    assert_eq!(fresh.expect("snapshot").await.data["unread"], 0);
    drop(fresh);
    app.finish().await;
}

#[tokio::test]
async fn deleted_user_leaves_no_notifications_and_no_event_log() {
    let app = App::start().await;
    let (user, agent, path) = user_and_agent(&app).await;
    notify(&agent, &path, 1).await;
    let mut reader = user.stream(&format!("{path}/stream"), "").await;
    reader.expect("snapshot").await;
    let id: Uuid = path.split('/').nth(3).and_then(|id| id.parse().ok()).expect("an id");
    let topic: streamgate::event::Topic = format!("notification.{id}").parse().expect("a topic");
    let log = app.gateway.hub.log();
    let topics = [topic];
    assert_eq!(log.positions(&topics).await.expect("a result").len(), 1);
    let admin = app.log_in("admin").await;
    admin.call(Method::DELETE, &format!("/v1/users/{id}"), None).await.ok();
    let closed = soon("end", reader.next()).await.expect("an event");
    assert_eq!(closed.event, "stream.closed");
    reader.expect_end().await;
    until("end of the log", async || log.positions(&topics).await.expect("a result").is_empty())
        .await;
    agent.post(&path, json!({ "kind": "ping", "message": "!" })).await.problem(404);
    app.finish().await;
}
