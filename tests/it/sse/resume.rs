//! Streams as a client sees them, byte by byte. Each fault of the systems before this one that can
//! show on the wire has its test here.

use entity::{Timestamp, session, user::Role};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, prelude::Expr};
use serde_json::{Value, json};
use streamgate::{
    event::{Cursor, Family},
    event_log::Retention,
};
use uuid::Uuid;

use crate::support::{
    app::{App, Caller, until},
    sse::{Block, SseReader},
};

/// An operator and a topology that takes mutations.
async fn stage(app: &App) -> (Caller, Uuid) {
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    (operator, topology)
}

/// The number in the payload of a `mutation.enqueued`.
fn number(data: &Value) -> u64 {
    data["payload"]["number"].as_u64().unwrap_or_else(|| panic!("no number: {data}"))
}

async fn expect_numbers(reader: &mut SseReader, numbers: impl IntoIterator<Item = u64>) {
    for expected in numbers {
        let block = reader.expect("mutation.enqueued").await;
        assert_eq!(number(&block.data), expected);
    }
}

#[tokio::test]
async fn the_head_keeps_caches_and_proxies_away_and_the_first_bytes_come_at_once() {
    let app = App::start().await;
    let (_, topology) = stage(&app).await;
    let mut reader = app.caller(Role::Viewer).await.watch(topology, "").await;
    assert_eq!(reader.status(), 200);
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store, no-transform"),
        ("x-accel-buffering", "no"),
        ("referrer-policy", "no-referrer"),
        ("ratelimit", "\"streams\";r=4"),
        ("ratelimit-policy", "\"streams\";q=5;qu=\"concurrent-requests\""),
    ] {
        assert_eq!(reader.header(name), Some(value), "{name}");
    }
    assert_eq!(reader.header("content-encoding"), None);
    let first = reader.next_block().await.expect("a first block");
    let retry = first.retry.expect("a retry");
    assert_eq!(first.text, format!(":\nretry: {retry}\n\n"));
    assert!((3_000..=8_000).contains(&retry), "{retry}");
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn events_come_as_the_bytes_of_the_standard_framed_once() {
    let app = App::start().await;
    let (operator, topology) = stage(&app).await;
    let mut reader = operator.watch(topology, "").await;
    let snapshot = reader.expect("snapshot").await;
    let cursor: Cursor = snapshot.id.clone().expect("an id").parse().expect("a cursor");
    assert_eq!(cursor.seq, 2, "pending to deploying to active");
    assert_eq!(snapshot.data["topology"]["status"], "active");
    assert_eq!(snapshot.data["mutations"], json!([]));
    assert_eq!(snapshot.data.get("reset"), None);

    // What several clients take for a line end, and what JSON escapes by itself.
    let payload = json!({ "text": "a\u{2028}b\u{2029}c\u{85}d\r\ne\0", "number": 1 });
    let path = format!("/v1/topologies/{topology}/mutations");
    let mutation = operator.post(&path, json!({ "op": "add_lan", "payload": payload })).await.ok();
    let event = reader.expect("mutation.enqueued").await;
    assert_eq!(event.data, mutation, "the stream and REST show the same");
    let data = mutation
        .to_string()
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
        .replace('\u{85}', "\\u0085");
    let id: Cursor = event.id.expect("an id").parse().expect("a cursor");
    assert_eq!((id.epoch, id.seq), (cursor.epoch, 3));
    assert_ne!(id.nonce, cursor.nonce);
    assert_eq!(event.text, format!("id: {id}\nevent: mutation.enqueued\ndata: {data}\n\n"));
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn a_second_subscriber_leaves_the_first_alone_and_outlives_it() {
    let app = App::start().await;
    let (operator, topology) = stage(&app).await;
    let mut first = operator.watch(topology, "").await;
    let mut second = operator.watch(topology, "").await;
    for reader in [&mut first, &mut second] {
        reader.expect("snapshot").await;
    }
    operator.mutate(topology, 1).await.ok();
    for reader in [&mut first, &mut second] {
        expect_numbers(reader, [1]).await;
    }
    drop(first);
    until("slot freed", async || app.gateway.limits.open_slots() == 1).await;
    operator.mutate(topology, 2).await.ok();
    expect_numbers(&mut second, [2]).await;
    drop(second);
    app.finish().await;
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_slot_and_its_place() {
    let app = App::start().await;
    let (operator, topology) = stage(&app).await;
    let open = "streamgate_streams_open{family=\"topology\"}";
    for _ in 0..12 {
        let mut reader = operator.watch(topology, "").await;
        reader.expect("snapshot").await;
        assert!((app.metric(open) - 1.0).abs() < f64::EPSILON);
        drop(reader);
        // No event flows: the FIN alone has to be noticed.
        until("slot freed", async || app.gateway.limits.open_slots() == 0).await;
    }
    until("stream counted as closed", async || app.metric(open) == 0.0).await;
    app.finish().await;
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_between_snapshot_and_stream_while_others_publish() {
    let app = App::with(|config| config.limits.streams_per_user = 1_000).await;
    let (operator, topology) = stage(&app).await;
    let publisher = {
        let operator = operator.clone();
        tokio::spawn(async move {
            for number in 0..60 {
                operator.mutate(topology, number).await.ok();
            }
        })
    };
    let mut readers = Vec::new();
    while !publisher.is_finished() {
        let mut reader = operator.watch(topology, "").await;
        let snapshot = reader.expect("snapshot").await;
        let in_flight = snapshot.data["mutations"].as_array().expect("mutations").len() as u64;
        readers.push((reader, in_flight));
    }
    publisher.await.expect("60 mutations");
    assert!(readers.len() > 1, "{}", readers.len());
    for (mut reader, in_flight) in readers {
        expect_numbers(&mut reader, in_flight..60).await;
    }
    app.finish().await;
}

#[tokio::test]
async fn a_stream_goes_on_after_the_cursor_in_the_header_or_the_query_and_the_header_wins() {
    let app = App::start().await;
    let (operator, topology) = stage(&app).await;
    let mut reader = operator.watch(topology, "").await;
    let mut ids = vec![reader.expect("snapshot").await.id.expect("an id")];
    for number in 0..4 {
        operator.mutate(topology, number).await.ok();
        ids.push(reader.expect("mutation.enqueued").await.id.expect("an id"));
    }
    let path = format!("/v1/topologies/{topology}/stream");
    let header = |id: &str| format!("Last-Event-ID: {id}\r\n");
    let by_query = |id: &str| format!("{path}?last_event_id={id}");
    let ways = [
        (path.clone(), header(&ids[2]), 2),
        (by_query(&ids[1]), String::new(), 1),
        (by_query(&ids[0]), header(&ids[3]), 3),
        (by_query(&ids[4]), String::new(), 4),
    ];
    for (total, (path, header, seen)) in (4..).zip(ways) {
        let mut resumed = operator.stream(&path, &header).await;
        expect_numbers(&mut resumed, seen..total).await;
        // The next is new: nothing was repeated, and there was no snapshot.
        operator.mutate(topology, total).await.ok();
        expect_numbers(&mut resumed, [total]).await;
    }
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn a_cursor_that_cannot_be_resumed_from_gets_a_snapshot_that_says_so() {
    let app = App::with(|config| config.limits.streams_per_user = 50).await;
    let (operator, topology) = stage(&app).await;
    let other = app.active_topology(&operator).await;
    let cursor = |block: Block| block.id.expect("an id").parse::<Cursor>().expect("a cursor");
    let mine = cursor(operator.watch(topology, "").await.expect("snapshot").await);
    let others = cursor(operator.watch(other, "").await.expect("snapshot").await);
    let ahead = Cursor { seq: mine.seq + 1, ..mine };
    let another = Cursor { nonce: mine.nonce ^ 1, ..mine };
    let number = format!("{:x}-{}", mine.epoch, mine.seq);
    for (bad, reason) in [
        (others.to_string(), "unknown_cursor"),
        ("garbage".to_owned(), "unknown_cursor"),
        ("0".to_owned(), "unknown_cursor"),
        (number, "unknown_cursor"),
        (ahead.to_string(), "replaced"),
        (another.to_string(), "replaced"),
    ] {
        let mut reader = operator.watch(topology, &format!("last_event_id={bad}")).await;
        let snapshot = reader.expect("snapshot").await;
        assert_eq!(snapshot.data["reset"], reason, "{bad}");
        assert_eq!(cursor(snapshot), mine);
    }
    for number in 0..5 {
        operator.mutate(topology, number).await.ok();
    }
    let events = format!("/v1/topologies/{topology}/events");
    let kept = operator.get(&format!("{events}?after={mine}&limit=3")).await.ok();
    let kept = kept["next"].as_str().expect("a cursor");
    let everything_but_two = Retention { events: 2, seconds: 1_000_000 };
    until("slot freed", async || app.gateway.limits.open_slots() == 0).await;
    let (log, now) = (app.gateway.hub.log(), app.gateway.clock.read());
    let pruned = log.prune(Family::Topology, everything_but_two, &now).await;
    assert_eq!(pruned.expect("pruning"), 5, "two changes of status and three mutations");
    let mut reader = operator.watch(topology, &format!("last_event_id={mine}")).await;
    let snapshot = reader.expect("snapshot").await;
    assert_eq!(snapshot.data["reset"], "pruned");
    assert_eq!(snapshot.data["mutations"].as_array().map(Vec::len), Some(5));
    // What is still kept can be resumed from.
    reader = operator.watch(topology, &format!("last_event_id={kept}")).await;
    expect_numbers(&mut reader, 3..5).await;
    drop(reader);
    let resets = "streamgate_resets_total{family=\"topology\",reason=\"pruned\"}";
    assert!((app.metric(resets) - 1.0).abs() < f64::EPSILON);
    app.finish().await;
}

#[tokio::test]
async fn a_stream_that_bounds_itself_ends_where_it_said() {
    let app = App::start().await;
    let (operator, topology) = stage(&app).await;
    for number in 0..3 {
        operator.mutate(topology, number).await.ok();
    }
    let mut reader = operator.watch(topology, "max_events=1").await;
    reader.expect("snapshot").await;
    reader.expect_end().await;
    // Cut in the middle of what is ready, and not one more, not even a farewell.
    let events = operator.get(&format!("/v1/topologies/{topology}/events?limit=2")).await.ok();
    let after = events["next"].as_str().expect("a cursor");
    let mut reader = operator.watch(topology, &format!("max_events=2&last_event_id={after}")).await;
    expect_numbers(&mut reader, 0..2).await;
    reader.expect_end().await;
    let mut reader = operator.watch(topology, "max_seconds=1").await;
    reader.expect("snapshot").await;
    assert_eq!(reader.expect("stream.closed").await.data, json!({ "reason": "max_seconds" }));
    reader.expect_end().await;
    for bad in
        ["max_events=0", "max_seconds=0", "max_events=x", "on_refusal=maybe", "overflow=drop"]
    {
        let path = format!("/v1/topologies/{topology}/stream?{bad}");
        operator.get(&path).await.problem(400);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_silent_stream_is_kept_open_by_comments() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 1).await;
    let (operator, topology) = stage(&app).await;
    let mut reader = operator.watch(topology, "").await;
    reader.expect("snapshot").await;
    for _ in 0..2 {
        assert_eq!(reader.next_block().await.expect("a comment").text, ":\n\n");
    }
    operator.mutate(topology, 7).await.ok();
    expect_numbers(&mut reader, [7]).await;
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn what_ended_a_session_elsewhere_ends_its_streams_with_the_next_heartbeat() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 1).await;
    let (operator, topology) = stage(&app).await;
    let long_ago = Timestamp::from_seconds(1);
    for (column, reason) in [
        (session::Column::RevokedAt, "session_revoked"),
        (session::Column::ExpiresAt, "session_expired"),
    ] {
        let watcher = app.caller(Role::Viewer).await;
        let mut reader = watcher.watch(topology, "").await;
        reader.expect("snapshot").await;
        let me = watcher.get("/v1/auth/me").await.ok();
        let session: Uuid = me["session_id"].as_str().and_then(|id| id.parse().ok()).expect("id");
        // As another process would do it: this one is not told.
        session::Entity::update_many()
            .col_expr(column, Expr::value(long_ago))
            .filter(session::Column::Id.eq(session))
            .exec(app.gateway.database.writer())
            .await
            .expect("an update");
        assert_eq!(reader.expect("stream.closed").await.data, json!({ "reason": reason }));
        reader.expect_end().await;
        watcher.get("/v1/auth/me").await.problem(401);
    }
    // The others go on.
    let mut reader = operator.watch(topology, "").await;
    reader.expect("snapshot").await;
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn shutting_down_says_goodbye_and_when_to_come_back() {
    let mut app = App::start().await;
    let (operator, topology) = stage(&app).await;
    let mut reader = operator.watch(topology, "").await;
    reader.expect("snapshot").await;
    app.begin_stop();
    let farewell = reader.expect("stream.closed").await;
    assert_eq!(farewell.data, json!({ "reason": "shutdown" }));
    assert_eq!(farewell.id, None, "the client keeps its cursor");
    assert!(farewell.retry.is_some_and(|retry| retry >= 3_000), "{farewell:?}");
    reader.expect_end().await;
    app.ended().await;
    app.finish().await;
}

#[tokio::test]
async fn a_stream_token_opens_its_stream_and_no_other() {
    let app = App::start().await;
    let (operator, topology) = stage(&app).await;
    let other = app.active_topology(&operator).await;
    let viewer = app.caller(Role::Viewer).await;
    let wish = json!({ "family": "topology", "id": topology, "ttl_seconds": 30 });
    let minted = viewer.post("/v1/stream-tokens", wish).await;
    assert_eq!(minted.status, 201);
    let minted = minted.ok();
    let (token, url) = (minted["token"].as_str().expect("a token"), minted["url"].as_str());
    assert_eq!(url, Some(&*format!("/v1/topologies/{topology}/stream?stream_token={token}")));
    assert_eq!(minted["expires_in"], 30);
    let anyone = app.anyone();
    let mut reader = anyone.stream(url.expect("a URL"), "").await;
    let snapshot = reader.expect("snapshot").await;
    // The same URL again, as a browser does when it reconnects.
    let last = format!("Last-Event-ID: {}\r\n", snapshot.id.expect("an id"));
    let mut again = anyone.stream(url.expect("a URL"), &last).await;
    operator.mutate(topology, 1).await.ok();
    expect_numbers(&mut again, [1]).await;
    let query = format!("stream_token={token}");
    for absent_or_not in [other, Uuid::new_v4()] {
        let path = format!("/v1/topologies/{absent_or_not}/stream?{query}");
        anyone.get(&path).await.problem(403);
    }
    anyone.get(&format!("/v1/topologies/{topology}?{query}")).await.problem(401);
    anyone.get(&format!("/v1/topologies/{topology}/events?{query}")).await.problem(401);
    // Logging out ends what the token opened, and the token.
    viewer.post("/v1/auth/logout", Value::Null).await.ok();
    assert_eq!(reader.expect("mutation.enqueued").await.data["payload"]["number"], 1);
    let farewell = reader.expect("stream.closed").await;
    assert_eq!(farewell.data, json!({ "reason": "session_revoked" }));
    anyone.get(url.expect("a URL")).await.problem(401);
    drop(again);
    app.finish().await;
}

#[tokio::test]
async fn an_empty_cursor_is_as_good_as_none() {
    let app = App::start().await;
    let (operator, topology) = stage(&app).await;
    let path = format!("/v1/topologies/{topology}/stream");
    for (query, header) in [("?last_event_id=", ""), ("", "Last-Event-ID: \r\n")] {
        let mut reader = operator.stream(&format!("{path}{query}"), header).await;
        let snapshot = reader.expect("snapshot").await;
        assert!(snapshot.data["reset"].is_null(), "{}", snapshot.text);
    }
    app.finish().await;
}

#[tokio::test]
async fn http_2_carries_the_same_bytes() {
    let app = App::start().await;
    let (operator, topology) = stage(&app).await;
    for number in 0..3 {
        operator.mutate(topology, number).await.ok();
    }
    let mut reader = operator.watch(topology, "max_events=1").await;
    let snapshot = reader.expect("snapshot").await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    let answer = client
        .get(app.url(&format!("/v1/topologies/{topology}/stream?max_events=1")))
        .bearer_auth(operator.token.as_deref().expect("a token"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    let body = answer.text().await.expect("a body");
    let (_, events) = body.split_once("\n\n").expect("a first block");
    assert_eq!(events, snapshot.text);
    app.finish().await;
}
