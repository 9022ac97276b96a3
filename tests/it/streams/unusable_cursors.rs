//! A cursor that no stream can resume after, on every stream operation.

use std::fmt::Write as _;

use entity::user::Role;
use serde_json::json;
use streamgate::{
    event::{Cursor, Family, Topic},
    event_log::Retention,
};

use crate::support::{
    App, Caller,
    caller::id_of,
    events::cursor_of,
    mcp_session, notification, prompt,
    sse::{Block, SseReader},
    task,
};

/// A topic, and the path of its own stream.
struct Watched {
    topic: Topic,
    path: String,
    /// The cursors of the oldest and the newest event.
    oldest: Cursor,
    newest: Cursor,
}

/// A user, and one topic of each family that the user may watch. Each topic has at least two events.
async fn topics_of_all_families(app: &App) -> (Caller, Vec<Watched>) {
    let (user, agent, notifications) = notification::user_and_agent(app).await;
    let operator = app.caller(Role::Operator).await;
    for number in 0..2 {
        notification::notify(&agent, &notifications, number).await;
    }
    let topology = app.active_topology(&operator).await;
    let task = task::create(&user, "cursors").await;
    let claimed = task::claim(&agent, "cursors").await;
    let artifact = json!({ "seq": 1, "artifact": { "artifact_id": "a", "data": "text" } });
    task::send(&agent, &claimed, "report", artifact).await.ok();
    let prompt = prompt::create(&user).await;
    let claimed = prompt::claim(&agent).await;
    for number in 0..2 {
        prompt::publish(&agent, &prompt.path, &claimed, prompt::message(number)).await.ok();
    }
    let session = mcp_session::session_of(&user, json!({})).await;
    for number in 0..2 {
        user.post(&format!("{session}/messages"), mcp_session::request(number)).await.ok();
    }
    let session_id = id_of(&user.get(&session).await.ok());
    let mut watched = Vec::new();
    for (family, id, resource) in [
        (Family::Topology, topology, format!("/v1/topologies/{topology}")),
        (Family::Task, task, format!("/v1/tasks/{task}")),
        (Family::Prompt, prompt.id, prompt.path.clone()),
        (Family::McpSession, session_id, session),
        (Family::Notification, user.id().await, notifications),
    ] {
        let path = format!("{resource}/stream");
        let page = user.get(&format!("{resource}/events?limit=200")).await.ok();
        let events = page["events"].as_array().expect("events");
        assert!(events.len() >= 2, "{family:?}: {page}");
        let cursor = |index: usize| events[index]["id"].as_str().expect("an id").parse();
        let (oldest, newest) = (cursor(0), cursor(events.len() - 1));
        watched.push(Watched {
            topic: Topic::new(family, id),
            path,
            oldest: oldest.expect("a cursor"),
            newest: newest.expect("a cursor"),
        });
    }
    (user, watched)
}

/// Percent-encodes every byte.
fn encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "%{byte:02X}").expect("a string");
        text
    })
}

/// Opens the topic's own stream, and the stream of several topics with this topic alone.
async fn open(user: &Caller, watched: &Watched, query: &str, headers: &[u8]) -> Vec<SseReader> {
    let own = format!("{}?{query}", watched.path);
    let several = format!("/v1/streams?topic={}&{query}", watched.topic);
    let mut readers = Vec::new();
    for path in [own, several] {
        let head = user.stream_request(&path, "");
        let head = head.strip_suffix("\r\n").expect("the end of the head").as_bytes();
        let request = [head, headers, b"\r\n"].concat();
        readers.push(SseReader::send(user.address, &request).await);
    }
    readers
}

/// The `reset` of the snapshot with which the stream starts.
async fn reset_of(reader: &mut SseReader, watched: &Watched) -> (Block, Option<String>) {
    let block = reader.expect("snapshot").await;
    let data = if block.data["topic"] == watched.topic.as_str() {
        block.data["data"].clone()
    } else {
        block.data.clone()
    };
    assert_eq!(cursor_of(&block), watched.newest, "the stream continues after its snapshot");
    let reset = data.get("reset").and_then(|reset| reset.as_str()).map(str::to_owned);
    (block, reset)
}

#[tokio::test]
async fn unusable_cursor_starts_every_stream_with_a_reset() {
    let app = App::with(|config| config.limits.streams_per_user = 2_000).await;
    let (user, all) = topics_of_all_families(&app).await;
    for (index, watched) in all.iter().enumerate() {
        let newest = watched.newest;
        let valid = newest.to_string();
        let text = |cursor: Cursor| cursor.to_string().into_bytes();
        let others = all[(index + 1) % all.len()].newest;
        let last = Cursor { seq: i64::MAX, nonce: i32::MAX, ..newest };
        let mut sent: Vec<(Vec<u8>, &str)> = vec![
            // Well-formed, but not in this log.
            (text(others), "unknown_cursor"),
            (text(Cursor { epoch: newest.epoch ^ 1, ..newest }), "unknown_cursor"),
            (text(Cursor::UNKNOWN), "unknown_cursor"),
            (text(Cursor { seq: newest.seq + 1, ..newest }), "replaced"),
            (text(Cursor { nonce: newest.nonce ^ 1, ..newest }), "replaced"),
            (text(last), "replaced"),
        ];
        for malformed in [
            "0",
            "-",
            "garbage",
            "null",
            "undefined",
            &format!("{:x}-{}", newest.epoch, newest.seq),
            &format!("{valid}-1"),
            &format!("-{valid}"),
            &format!("{valid}."),
            &format!("{valid},{valid}"),
            &format!("\"{valid}\""),
            &format!("{:x}-99999999999999999999-1", newest.epoch),
            &"1".repeat(3_000),
            &["1-1-1"; 51].join("."),
            "é",
            "\u{2028}",
        ] {
            sent.push((malformed.as_bytes().to_vec(), "unknown_cursor"));
        }
        sent.push((vec![0xff, 0xfe], "unknown_cursor"));
        let mut ways = Vec::new();
        for (value, reason) in sent {
            let header = [b"Last-Event-ID: ", &value[..], b"\r\n"].concat();
            ways.push((format!("last_event_id={}", encoded(&value)), Vec::new(), reason));
            // The header has priority over a cursor that could be resumed.
            ways.push((format!("last_event_id={valid}"), header, reason));
        }
        for only_in_a_query in [" ", "\t", "\0", "\n", &format!(" {valid}"), &format!("{valid}\n")]
        {
            let query = format!("last_event_id={}", encoded(only_in_a_query.as_bytes()));
            ways.push((query, Vec::new(), "unknown_cursor"));
        }
        let line = format!("Last-Event-ID: {valid}\r\n");
        ways.push((String::new(), line.repeat(2).into_bytes(), "unknown_cursor"));
        let twice = format!("last_event_id={valid}&last%5Fevent_id={valid}");
        ways.push((twice, Vec::new(), "unknown_cursor"));
        for (query, header, reason) in ways {
            for mut reader in open(&user, watched, &query, &header).await {
                let (block, reset) = reset_of(&mut reader, watched).await;
                let sent = String::from_utf8_lossy(&header);
                assert_eq!(reset.as_deref(), Some(reason), "{query} {sent}: {}", block.text);
            }
        }
    }
    app.slots_freed().await;
    let now = app.gateway.clock.read();
    for watched in &all {
        let kept = Retention { events: 1, seconds: 1_000_000 };
        let pruned = app.gateway.hub.log().prune(watched.topic.family(), kept, &now).await;
        assert!(pruned.expect("a pruning") > 0, "{}", watched.topic);
        let before_all = Cursor { seq: watched.oldest.seq - 1, nonce: 0, ..watched.oldest };
        for mut reader in open(&user, watched, &format!("last_event_id={before_all}"), b"").await {
            let (block, reset) = reset_of(&mut reader, watched).await;
            assert_eq!(reset.as_deref(), Some("pruned"), "{}", block.text);
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn empty_last_event_id_gives_way_to_the_parameter() {
    let app = App::with(|config| config.limits.streams_per_user = 2_000).await;
    let (user, all) = topics_of_all_families(&app).await;
    for watched in &all {
        let query = format!("last_event_id={}", watched.oldest);
        for header in ["Last-Event-ID:\r\n", "Last-Event-ID: \t \r\n"] {
            for mut reader in open(&user, watched, &query, header.as_bytes()).await {
                let block = reader.next().await.expect("an event");
                assert_ne!(block.event, "snapshot", "{}", block.text);
                assert_eq!(cursor_of(&block).seq, watched.oldest.seq + 1);
            }
            for query in ["", "last_event_id=", "last_event_id=&last_event_id="] {
                for mut reader in open(&user, watched, query, header.as_bytes()).await {
                    let (block, reset) = reset_of(&mut reader, watched).await;
                    assert_eq!(reset, None, "{}", block.text);
                }
            }
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn lost_cursor_of_one_topic_resets_it_among_several() {
    let app = App::with(|config| config.limits.streams_per_user = 2_000).await;
    let (user, all) = topics_of_all_families(&app).await;
    let [first, second, third, ..] = &all[..] else { panic!("three topics") };
    let path = |topics: &[&Watched], cursor: &str| {
        let topics = topics.iter().map(|watched| format!("topic={}&", watched.topic));
        format!("/v1/streams?{}last_event_id={cursor}", topics.collect::<String>())
    };
    let wiped = Cursor { epoch: second.newest.epoch ^ 1, ..second.newest };
    let cursor = format!("{}.{wiped}", first.oldest);
    let both = [first, second];
    let mut reader = user.stream(&path(&both, &cursor), "").await;
    // The first topic resumes, and the second one starts over. The events come in any order.
    let (mut ids, mut resets) = (Vec::new(), 0);
    while resets == 0 || ids.len() < 2 {
        let block = reader.next().await.expect("an event");
        let is_first = block.data["topic"] == first.topic.as_str();
        assert_ne!(is_first, block.event == "snapshot", "{}", block.text);
        if !is_first {
            assert_eq!(block.data["data"]["reset"], "unknown_cursor", "{}", block.text);
            resets += 1;
        }
        ids.push((block.id.expect("an id"), resets));
    }
    drop(reader);
    // A client that lost the connection before the snapshot of the second topic still gets the reset.
    for (id, seen) in &ids {
        let mut again = user.stream(&path(&both, id), "").await;
        if *seen == 0 {
            loop {
                let block = again.next().await.expect("an event");
                if block.event == "snapshot" {
                    assert_eq!(block.data["topic"], second.topic.as_str());
                    assert_eq!(block.data["data"]["reset"], "unknown_cursor", "{}", block.text);
                    break;
                }
            }
        }
    }
    // A topic that is added to known cursors is new, and needs no reset.
    let known = format!("{}.{}", first.newest, second.newest);
    let mut reader = user.stream(&path(&[first, second, third], &known), "").await;
    let block = reader.expect("snapshot").await;
    assert_eq!(block.data["topic"], third.topic.as_str());
    assert_eq!(block.data["data"].get("reset"), None, "{}", block.text);
    drop(reader);
    app.finish().await;
}
