//! An expired stream token resumes the stream that it opened, and opens nothing else.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App, SseReader,
    auth::invalid_token,
    connection::list,
    events::publish,
    mutation::{expect_numbers, number},
    stream_token::{expired, row, used_and_expired},
    streams::{operator_with_topologies, snapshots},
    topology::{app_with_topology, operator_with_topology},
    until,
};

/// The header that a browser sends when it reconnects.
pub fn last(cursor: &str) -> String {
    format!("Last-Event-ID: {cursor}\r\n")
}

/// Reads the snapshot. Returns its cursor.
pub async fn cursor_of_snapshot(reader: &mut SseReader) -> String {
    reader.expect("snapshot").await.id.expect("an id")
}

#[tokio::test]
async fn expired_stream_token_resumes_its_stream_and_loses_nothing() {
    let (app, operator, topology) = app_with_topology(|_| ()).await;
    let url = operator.stream_url(topology).await;
    let anyone = app.anyone();
    let mut reader = anyone.stream(&url, "").await;
    let cursor = cursor_of_snapshot(&mut reader).await;
    drop(reader);
    let url = used_and_expired(&app, &url).await;
    operator.mutate(topology, 1).await.ok();
    // The client can resume several times, with the header and with the parameter.
    for (path, headers) in
        [(url.clone(), last(&cursor)), (format!("{url}&last_event_id={cursor}"), String::new())]
    {
        let mut resumed = anyone.stream(&path, &headers).await;
        expect_numbers(&mut resumed, [1]).await;
        drop(resumed);
    }
    let mut resumed = anyone.stream(&url, &last(&cursor)).await;
    operator.mutate(topology, 2).await.ok();
    expect_numbers(&mut resumed, [1, 2]).await;
    drop(resumed);
    app.finish().await;
}

#[tokio::test]
async fn expired_token_for_several_topics_resumes_exactly_these() {
    let app = App::start().await;
    let (operator, topologies) = operator_with_topologies(&app, 3).await;
    let names: Vec<_> = topologies.iter().map(|id| format!("topology.{id}")).collect();
    let minted = operator.post("/v1/stream-tokens", json!({ "topics": names })).await.ok();
    let url = minted["url"].as_str().expect("a URL");
    let anyone = app.anyone();
    // The stream has two of the three topics of the token.
    let used = url.replace(&format!("topic={}&", names[2]), "");
    let mut reader = anyone.stream(&used, "").await;
    let cursor = snapshots(&mut reader, &topologies[..2]).await;
    drop(reader);
    let (whole, used) = (url, used_and_expired(&app, &used).await);
    let whole = expired(&app.gateway.config.data_dir, whole);
    let part = used.replace(&format!("topic={}&", names[1]), "");
    let one_cursor = cursor.split('.').next().expect("a cursor");
    let foreign = format!("{cursor}.1f-1-1");
    for (url, cursor) in [
        (&whole, &*cursor),
        (&part, &*cursor),
        (&part, one_cursor),
        (&used, one_cursor),
        (&used, &*foreign),
    ] {
        anyone.get(&format!("{url}&last_event_id={cursor}")).await.problem(401);
    }
    operator.mutate(topologies[1], 1).await.ok();
    let mut resumed = anyone.stream(&used, &last(&cursor)).await;
    let event = resumed.expect("mutation.enqueued").await;
    assert_eq!(number(&event.data["data"]), 1);
    drop(resumed);
    app.finish().await;
}

#[tokio::test]
async fn expired_stream_token_opens_nothing_but_its_stream() {
    let app = App::start().await;
    let (operator, topology) = operator_with_topology(&app).await;
    let other = app.active_topology(&operator).await;
    let cursor_elsewhere =
        cursor_of_snapshot(&mut operator.watch(other, "max_events=1").await).await;
    let anyone = app.anyone();
    let unused = expired(&app.gateway.config.data_dir, &operator.stream_url(topology).await);
    let url = operator.stream_url(topology).await;
    let cursor = cursor_of_snapshot(&mut anyone.stream(&url, "").await).await;
    let url = used_and_expired(&app, &url).await;
    let after = |url: &str, cursor: &str| format!("{url}&last_event_id={cursor}");
    let detail = invalid_token(anyone.get(&after(&unused, &cursor)).await);
    assert_eq!(detail, "the token has expired");
    let (epoch, _) = cursor.split_once('-').expect("a cursor");
    let ahead = format!("{epoch}-999-1");
    for cursor in ["", "garbage", &*cursor_elsewhere, &*ahead] {
        let detail = invalid_token(anyone.get(&after(&url, cursor)).await);
        assert!(detail.starts_with("the token has expired, and"), "{detail}");
    }
    let elsewhere = url.replace(&topology.to_string(), &other.to_string());
    anyone.get(&after(&elsewhere, &cursor_elsewhere)).await.problem(403);
    let absent = url.replace(&topology.to_string(), &Uuid::new_v4().to_string());
    anyone.get(&after(&absent, &cursor)).await.problem(403);
    let events = url.replace("/stream?", "/events?");
    anyone.get(&format!("{events}&after={cursor}")).await.problem(401);
    anyone.get(&after(&url.replace("/stream?", "?"), &cursor)).await.problem(401);
    let head = anyone.call(Method::HEAD, &after(&url, &cursor), None).await;
    assert_eq!(head.status, 401);
    // Nothing of this has ended the right to resume.
    let mut resumed = anyone.stream(&url, &last(&cursor)).await;
    operator.mutate(topology, 1).await.ok();
    expect_numbers(&mut resumed, [1]).await;
    drop(resumed);
    app.finish().await;
}

#[tokio::test]
async fn resumed_stream_replaces_its_connection_and_takes_its_slot() {
    let (app, operator, topology) =
        app_with_topology(|config| config.limits.streams_per_user = 1).await;
    let anyone = app.anyone();
    let url = operator.stream_url(topology).await;
    let mut first = anyone.stream(&url, "").await;
    let cursor = cursor_of_snapshot(&mut first).await;
    let late = used_and_expired(&app, &url).await;
    // A cursor that is not usable leaves the connection open.
    anyone.get(&format!("{late}&last_event_id=garbage")).await.problem(401);
    operator.mutate(topology, 1).await.ok();
    expect_numbers(&mut first, [1]).await;
    let mut second = anyone.stream(&late, &last(&cursor)).await;
    expect_numbers(&mut second, [1]).await;
    assert_eq!(first.expect("stream.closed").await.data, json!({ "reason": "replaced" }));
    first.expect_end().await;
    let mut third = anyone.stream(&late, &last(&cursor)).await;
    expect_numbers(&mut third, [1]).await;
    assert_eq!(second.expect("stream.closed").await.data["reason"], "replaced");
    second.expect_end().await;
    until("one connection", async || list(&operator).await.len() == 1).await;
    // The limit still counts the stream that resumed.
    let viewer_of_same_user = operator.get(&format!("/v1/topologies/{topology}/stream")).await;
    viewer_of_same_user.problem(429);
    drop((first, second, third));
    app.finish().await;
}

#[tokio::test]
async fn unread_connection_leaves_its_slot_to_the_resumed_stream() {
    let (app, operator, topology) =
        app_with_topology(|config| config.limits.streams_per_user = 1).await;
    let anyone = app.anyone();
    let url = operator.stream_url(topology).await;
    let mut stalled = anyone.stream(&url, "").await;
    let cursor = cursor_of_snapshot(&mut stalled).await;
    let late = used_and_expired(&app, &url).await;
    // 12 MB, which is more than the buffers of the loopback interface hold. So the end cannot be sent either.
    publish(&app, topology, 0..200, 60_000).await;
    let mut resumed = anyone.stream(&late, &last(&cursor)).await;
    for _ in 0..200 {
        resumed.expect("note").await;
    }
    drop((stalled, resumed));
    app.finish().await;
}

#[tokio::test]
async fn stream_open_for_an_hour_can_still_resume() {
    let (app, operator, topology) =
        app_with_topology(|config| config.streams.heartbeat_seconds = 1).await;
    let anyone = app.anyone();
    let url = operator.stream_url(topology).await;
    let mut reader = anyone.stream(&url, "").await;
    let cursor = cursor_of_snapshot(&mut reader).await;
    let late = used_and_expired(&app, &url).await;
    let opened = row(&app, &url).await.expect("a row").connected_at;
    app.time.pass(Duration::from_hours(1));
    let hour_later = opened + Duration::from_mins(59);
    until("refresh", async || {
        row(&app, &url).await.is_some_and(|row| row.connected_at > hour_later)
    })
    .await;
    drop(reader);
    let mut resumed = anyone.stream(&late, &last(&cursor)).await;
    operator.mutate(topology, 1).await.ok();
    expect_numbers(&mut resumed, [1]).await;
    drop(resumed);
    app.finish().await;
}
