//! The ends after which an expired stream token resumes nothing.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    App, Caller, SseReader,
    auth::invalid_token,
    connection::{delete, id},
    mutation::expect_numbers,
    stream_token::{expired, row, used_and_expired},
    topology::app_with_topology,
    until,
};

use super::resume::{cursor_of_snapshot, last};

/// A stream that was opened with a stream token which has expired since.
struct OldStream {
    reader: SseReader,
    /// The URL with the expired token.
    url: String,
    cursor: String,
}

async fn old_stream(app: &App, caller: &Caller, topology: Uuid) -> OldStream {
    let url = caller.stream_url(topology).await;
    let mut reader = app.anyone().stream(&url, "").await;
    let cursor = cursor_of_snapshot(&mut reader).await;
    OldStream { reader, url: used_and_expired(app, &url).await, cursor }
}

impl OldStream {
    fn path(&self) -> String {
        format!("{}&last_event_id={}", self.url, self.cursor)
    }
}

#[tokio::test]
async fn deleted_connection_ends_the_right_to_resume_at_once() {
    let (app, operator, topology) = app_with_topology(|_| ()).await;
    let mut old = old_stream(&app, &operator, topology).await;
    assert_eq!(delete(&operator, id(&old.reader)).await.status, 204);
    assert_eq!(invalid_token(app.anyone().get(&old.path()).await), "the token has expired");
    assert_eq!(old.reader.expect("stream.closed").await.data["reason"], "disconnected");
    drop(old);
    app.finish().await;
}

#[tokio::test]
async fn ended_login_session_ends_the_right_to_resume() {
    let (app, operator, topology) = app_with_topology(|_| ()).await;
    // One stream is open at the logout, the other was lost before.
    let mut open = old_stream(&app, &operator, topology).await;
    let OldStream { reader, url, cursor } = old_stream(&app, &operator, topology).await;
    drop(reader);
    operator.post("/v1/auth/logout", Value::Null).await.ok();
    let lost = format!("{url}&last_event_id={cursor}");
    let detail = invalid_token(app.anyone().get(&lost).await);
    assert_eq!(detail, "the login session has ended");
    assert_eq!(open.reader.expect("stream.closed").await.data["reason"], "session_revoked");
    open.reader.expect_end().await;
    invalid_token(app.anyone().get(&open.path()).await);
    until("deletion", async || row(&app, &open.url).await.is_none()).await;
    drop(open);
    app.finish().await;
}

#[tokio::test]
async fn stream_that_sent_its_last_event_cannot_be_resumed() {
    let (app, operator, topology) = app_with_topology(|_| ()).await;
    let mut old = old_stream(&app, &operator, topology).await;
    operator.tear_down(topology).await;
    for _ in 0..2 {
        old.reader.expect("status").await;
    }
    let closed = old.reader.expect("stream.closed").await;
    assert_eq!(closed.data, json!({ "reason": "completed" }));
    old.reader.expect_end().await;
    until("deletion", async || row(&app, &old.url).await.is_none()).await;
    assert_eq!(invalid_token(app.anyone().get(&old.path()).await), "the token has expired");
    drop(old);
    app.finish().await;
}

#[tokio::test]
async fn stream_that_reached_its_own_limit_can_be_resumed() {
    let (app, operator, topology) = app_with_topology(|_| ()).await;
    let url = format!("{}&max_events=1", operator.stream_url(topology).await);
    let mut reader = app.anyone().stream(&url, "").await;
    let cursor = cursor_of_snapshot(&mut reader).await;
    reader.expect_end().await;
    let url = used_and_expired(&app, &url).await;
    operator.mutate(topology, 1).await.ok();
    expect_numbers(&mut app.anyone().stream(&url, &last(&cursor)).await, [1]).await;
    app.finish().await;
}

#[tokio::test]
async fn lost_stream_can_be_resumed_until_resume_seconds_have_passed() {
    let (app, operator, topology) = app_with_topology(|config| {
        config.tokens.resume_seconds = 200;
        config.retention.sweep_seconds = 1;
    })
    .await;
    let OldStream { reader, url, cursor } = old_stream(&app, &operator, topology).await;
    drop(reader);
    app.slots_freed().await;
    app.time.pass(Duration::from_secs(190));
    operator.mutate(topology, 1).await.ok();
    expect_numbers(&mut app.anyone().stream(&url, &last(&cursor)).await, [1]).await;
    app.slots_freed().await;
    // The stream was open again, so the time starts again.
    app.time.pass(Duration::from_secs(190));
    expect_numbers(&mut app.anyone().stream(&url, &last(&cursor)).await, [1]).await;
    app.slots_freed().await;
    app.time.pass(Duration::from_secs(201));
    let path = format!("{url}&last_event_id={cursor}");
    assert_eq!(invalid_token(app.anyone().get(&path).await), "the token has expired");
    // The row stays while a token of this age could be valid. Then a sweep deletes it.
    assert!(row(&app, &url).await.is_some());
    app.time.pass(Duration::from_secs(100));
    until("sweep", async || row(&app, &url).await.is_none()).await;
    app.finish().await;
}

#[tokio::test]
async fn no_stream_can_be_resumed_if_resuming_is_off() {
    let (app, operator, topology) =
        app_with_topology(|config| config.tokens.resume_seconds = 0).await;
    let url = operator.stream_url(topology).await;
    let mut reader = app.anyone().stream(&url, "").await;
    let cursor = cursor_of_snapshot(&mut reader).await;
    let late = expired(&app.gateway.config.data_dir, &url);
    let path = format!("{late}&last_event_id={cursor}");
    assert_eq!(invalid_token(app.anyone().get(&path).await), "the token has expired");
    app.gateway.stream_tokens.write_changes().await.expect("a database");
    assert!(row(&app, &url).await.is_none());
    drop(reader);
    app.finish().await;
}
