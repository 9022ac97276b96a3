//! Many topics on one connection: each is whole and in order whatever happens to the others, to the
//! connection, to the server and to the caller.

use entity::user::Role;
use reqwest::Method;
use serde_json::{Value, json};
use streamgate::event::{Family, Topic};
use uuid::Uuid;

use crate::{
    hub::slow_clients::note,
    support::{
        app::{App, Caller, id_of, soon, until},
        sse::{Block, SseReader},
    },
};

/// What to ask with for these topologies.
pub fn path(topologies: &[Uuid], query: &str) -> String {
    let topics = topologies.iter().map(|id| format!("topic=topology.{id}&"));
    format!("/v1/streams?{}{query}", topics.collect::<String>())
}

pub async fn watch(caller: &Caller, topologies: &[Uuid], query: &str) -> SseReader {
    caller.stream(&path(topologies, query), "").await
}

/// An operator and some topologies.
pub async fn stage(app: &App, count: usize) -> (Caller, Vec<Uuid>) {
    let operator = app.caller(Role::Operator).await;
    let mut topologies = Vec::new();
    for _ in 0..count {
        topologies.push(app.active_topology(&operator).await);
    }
    (operator, topologies)
}

pub async fn publish(app: &App, topology: Uuid, numbers: std::ops::Range<u64>, size: usize) {
    let topic = Topic::new(Family::Topology, topology);
    for number in numbers {
        let events = vec![note(number, size)];
        app.gateway.hub.publish(topic.clone(), events).await.expect("an acknowledgement");
    }
}

/// The topology that an event is about.
#[track_caller]
pub fn about(block: &Block) -> Uuid {
    let topic: Topic = block.data["topic"].as_str().expect("a topic").parse().expect("a topic");
    topic.id()
}

/// Reads a snapshot of each, in any order. Returns the last cursor.
pub async fn snapshots(reader: &mut SseReader, topologies: &[Uuid]) -> String {
    let mut seen = Vec::new();
    let mut cursor = None;
    for _ in topologies {
        let block = reader.expect("snapshot").await;
        assert_eq!(block.data["data"]["topology"]["id"], json!(about(&block)));
        assert!(block.data["data"]["reset"].is_null(), "{}", block.text);
        seen.push(about(&block));
        cursor = block.id;
    }
    seen.sort();
    let mut all = topologies.to_vec();
    all.sort();
    assert_eq!(seen, all);
    cursor.expect("a cursor")
}

#[tokio::test]
async fn many_topics_take_one_slot_and_are_one_connection() {
    let app = App::with(|config| config.limits.streams_per_user = 1).await;
    let (operator, topologies) = stage(&app, 5).await;
    let mut reader = watch(&operator, &topologies, "").await;
    assert!(reader.header("ratelimit").is_some(), "{}", reader.head);
    snapshots(&mut reader, &topologies).await;
    assert_eq!(app.gateway.limits.open_slots(), 1);
    operator.get(&path(&topologies[..1], "")).await.problem(429);
    publish(&app, topologies[3], 0..4, 10).await;
    for _ in 0..4 {
        reader.expect("note").await;
    }
    let listed = operator.get("/v1/connections").await.ok();
    let listed = listed["items"].as_array().expect("items");
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["delivered"], &listed[0]["lag"]), (&json!(9), &json!(0)));
    let mut names: Vec<_> = topologies.iter().map(|id| json!(format!("topology.{id}"))).collect();
    let mut listed_names = listed[0]["topics"].as_array().expect("topics").clone();
    for names in [&mut names, &mut listed_names] {
        names.sort_by_key(Value::to_string);
    }
    assert_eq!(listed_names, names);
    let id = reader.header("x-request-id").expect("an id");
    assert_eq!(listed[0]["id"], id);
    let deleted = operator.call(Method::DELETE, &format!("/v1/connections/{id}"), None).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(reader.expect("stream.closed").await.data, json!({ "reason": "disconnected" }));
    reader.expect_end().await;
    until("slot freed", async || app.gateway.limits.open_slots() == 0).await;
    // The next one has room, and gives it back by hanging up.
    drop(watch(&operator, &topologies, "").await);
    app.finish().await;
}

#[tokio::test]
async fn a_list_that_is_none_is_refused_as_is_one_with_what_is_not_there() {
    let app = App::start().await;
    let (operator, topologies) = stage(&app, 2).await;
    let many: Vec<Uuid> = (0..51).map(|_| Uuid::now_v7()).collect();
    let twice = [topologies[0], topologies[0]];
    for path in [
        "/v1/streams".to_owned(),
        path(&many, ""),
        path(&twice, ""),
        "/v1/streams?topic=".to_owned(),
        format!("/v1/streams?topic=nothing.{}", topologies[0]),
        format!("/v1/streams?topic=topology.{}", topologies[0].simple()),
        path(&topologies, "max_events=0"),
    ] {
        operator.get(&path).await.problem(400);
    }
    let unknown = [topologies[0], Uuid::now_v7(), topologies[1]];
    operator.get(&path(&unknown, "")).await.problem(404);
    operator.get(&path(&many[..50], "")).await.problem(404);
    app.anyone().get(&path(&topologies, "")).await.problem(401);
    let head = operator.call(Method::HEAD, &path(&topologies, ""), None).await;
    assert_eq!(
        (head.status.as_u16(), &head.headers["content-type"]),
        (200, &"text/event-stream".parse().expect("a value"))
    );
    let mut refused = operator.stream(&path(&unknown, "on_refusal=event"), "").await;
    assert_eq!(refused.expect("error").await.data["status"], 404);
    app.finish().await;
}

#[tokio::test]
async fn a_topic_that_ends_is_announced_and_the_others_go_on() {
    let app = App::start().await;
    let (operator, topologies) = stage(&app, 2).await;
    let [ending, staying] = topologies[..] else { unreachable!("there are two") };
    let mut reader = watch(&operator, &topologies, "").await;
    snapshots(&mut reader, &topologies).await;
    let tear_down = async |id| {
        for status in ["tearing_down", "torn_down"] {
            operator.set_status(id, status).await.ok();
        }
    };
    tear_down(ending).await;
    for status in ["tearing_down", "torn_down"] {
        let block = reader.expect("status").await;
        assert_eq!((about(&block), &block.data["data"]["to"]), (ending, &json!(status)));
    }
    let left = json!({ "topic": format!("topology.{ending}"), "reason": "completed" });
    let announced = reader.expect("topic.closed").await;
    assert_eq!(announced.data, left);
    let cursor = announced.id.expect("a cursor");
    publish(&app, staying, 0..1, 10).await;
    let block = reader.expect("note").await;
    assert_eq!(about(&block), staying);
    // Who comes back is told again: it may have gone before it was told.
    let mut again = watch(&operator, &topologies, &format!("last_event_id={cursor}")).await;
    assert_eq!(again.expect("topic.closed").await.data, left);
    assert_eq!(again.expect("note").await.id, block.id);
    tear_down(staying).await;
    let mut last = None;
    for reader in [&mut reader, &mut again] {
        reader.expect("status").await;
        reader.expect("status").await;
        last = reader.expect("topic.closed").await.id;
        let farewell = reader.expect("stream.closed").await;
        assert_eq!((farewell.data, farewell.id), (json!({ "reason": "completed" }), None));
        reader.expect_end().await;
    }
    let last = format!("last_event_id={}", last.expect("a cursor"));
    let done = operator.get(&path(&topologies, &last)).await;
    assert_eq!(done.status, 204);
    app.finish().await;
}

#[tokio::test]
async fn bounds_are_those_of_the_whole() {
    let app = App::start().await;
    let (operator, topologies) = stage(&app, 3).await;
    let mut reader = watch(&operator, &topologies, "max_events=2").await;
    let first = reader.next_block().await.expect("a first block");
    assert!(first.text.starts_with(":\nretry: "), "{}", first.text);
    reader.expect("snapshot").await;
    reader.expect("snapshot").await;
    reader.expect_end().await;
    assert_eq!(reader.seen.matches("retry: ").count(), 1, "{}", reader.seen);
    let mut reader = watch(&operator, &topologies, "max_seconds=1").await;
    snapshots(&mut reader, &topologies).await;
    assert_eq!(reader.expect("stream.closed").await.data, json!({ "reason": "max_seconds" }));
    reader.expect_end().await;
    // By another way out.
    let client = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    let url = app.url(&path(&topologies[..1], "max_events=1"));
    let request = client.get(url).bearer_auth(operator.token.as_deref().expect("a token"));
    let text = request.send().await.expect("an answer").text().await.expect("a body");
    let (_, event) = text.split_once("\n\n").expect("a first block");
    assert!(event.contains("\nevent: snapshot\ndata: {\"topic\":\"topology."), "{event}");
    app.finish().await;
}

#[tokio::test]
async fn it_is_as_silent_as_one_stream() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 1).await;
    let (operator, topologies) = stage(&app, 8).await;
    let mut many = watch(&operator, &topologies, "").await;
    snapshots(&mut many, &topologies).await;
    let mut single = operator.watch(topologies[0], "").await;
    single.expect("snapshot").await;
    for topology in &topologies {
        publish(&app, *topology, 0..1, 10).await;
        many.expect("note").await;
    }
    let comments = |seen: &str| seen.matches("\n\n:\n").count();
    let before = comments(&many.seen);
    while comments(&single.seen) < 4 {
        soon("a comment", single.next_block()).await.expect("a comment");
    }
    publish(&app, topologies[1], 1..2, 10).await;
    many.expect("note").await;
    let comments = comments(&many.seen) - before;
    assert!((2..=5).contains(&comments), "{comments} comments");
    drop((many, single));
    app.finish().await;
}

#[tokio::test]
async fn a_stream_token_for_a_list_opens_any_part_of_it_and_nothing_else() {
    let app = App::start().await;
    let (operator, topologies) = stage(&app, 3).await;
    let viewer = app.caller(Role::Viewer).await;
    let names: Vec<_> = topologies[..2].iter().map(|id| format!("topology.{id}")).collect();
    let minted = viewer.post("/v1/stream-tokens", json!({ "topics": names })).await;
    assert_eq!(minted.status, 201);
    let minted = minted.ok();
    let token = minted["token"].as_str().expect("a token");
    let url = minted["url"].as_str().expect("a URL");
    assert_eq!(url, path(&topologies[..2], &format!("stream_token={token}")));
    let anyone = app.anyone();
    let by_token = format!("stream_token={token}");
    let mut whole = anyone.stream(url, "").await;
    snapshots(&mut whole, &topologies[..2]).await;
    let mut part = watch(&anyone, &topologies[1..2], &by_token).await;
    snapshots(&mut part, &topologies[1..2]).await;
    anyone.get(&path(&topologies, &by_token)).await.problem(403);
    anyone.get(&path(&topologies[2..], &by_token)).await.problem(403);
    let single = |id: Uuid, query: &str| format!("/v1/topologies/{id}/stream?{query}");
    anyone.get(&single(topologies[0], &by_token)).await.problem(403);
    anyone.get(&format!("/v1/connections?{by_token}")).await.problem(401);
    // The token of one topic.
    let wish = json!({ "family": "topology", "id": topologies[0] });
    let minted = viewer.post("/v1/stream-tokens", wish).await.ok();
    let by_token = format!("stream_token={}", minted["token"].as_str().expect("a token"));
    let mut one = watch(&anyone, &topologies[..1], &by_token).await;
    snapshots(&mut one, &topologies[..1]).await;
    anyone.get(&path(&topologies[..2], &by_token)).await.problem(403);
    // What is not one wish or the other.
    let id = topologies[0];
    for wish in [
        json!({}),
        json!({ "topics": [] }),
        json!({ "family": "topology" }),
        json!({ "id": id }),
        json!({ "family": "topology", "id": id, "topics": names }),
        json!({ "topics": [names[0], names[0]] }),
        json!({ "topics": ["garbage"] }),
        json!({ "topics": (0..51).map(|_| format!("topology.{}", Uuid::now_v7())).collect::<Vec<_>>() }),
    ] {
        viewer.post("/v1/stream-tokens", wish).await.problem(400);
    }
    let unknown = json!({ "topics": [names[0], format!("topology.{}", Uuid::now_v7())] });
    viewer.post("/v1/stream-tokens", unknown).await.problem(404);
    // Logging out ends what it opened, once for all topics.
    viewer.post("/v1/auth/logout", Value::Null).await.ok();
    for reader in [&mut whole, &mut part, &mut one] {
        let farewell = reader.expect("stream.closed").await;
        assert_eq!(farewell.data, json!({ "reason": "session_revoked" }));
        reader.expect_end().await;
    }
    drop(operator);
    app.finish().await;
}

#[tokio::test]
async fn a_lower_role_that_still_may_see_everything_changes_nothing() {
    let app = App::start().await;
    let (operator, topologies) = stage(&app, 3).await;
    let admin = app.log_in("admin").await;
    let me = id_of(&operator.get("/v1/auth/me").await.ok());
    let mut reader = watch(&operator, &topologies, "").await;
    snapshots(&mut reader, &topologies).await;
    let mut next = [0, 0, 0];
    for role in ["agent", "viewer"] {
        let user = format!("/v1/users/{me}");
        let lower = admin.call(Method::PATCH, &user, Some(json!({ "role": role })));
        let before = next[0];
        let (answer, ()) = tokio::join!(lower, async {
            for number in before..before + 20 {
                for id in &topologies {
                    publish(&app, *id, number..number + 1, 10).await;
                }
            }
        });
        answer.ok();
        for _ in 0..60 {
            let block = reader.expect("note").await;
            let index = topologies.iter().position(|id| *id == about(&block)).expect("one of ours");
            assert_eq!(block.data["data"]["number"], next[index]);
            next[index] += 1;
        }
    }
    // A single stream ends.
    assert_eq!(app.gateway.limits.open_slots(), 1);
    let disabled = json!({ "disabled": true });
    admin.call(Method::PATCH, &format!("/v1/users/{me}"), Some(disabled)).await.ok();
    assert_eq!(reader.expect("stream.closed").await.data, json!({ "reason": "user_disabled" }));
    reader.expect_end().await;
    app.finish().await;
}

#[tokio::test]
async fn what_a_lower_role_may_not_see_leaves_and_the_rest_goes_on() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let (operator, topologies) = stage(&app, 1).await;
    let boss = app.caller(Role::Admin).await;
    let session = id_of(&operator.post("/v1/mcp-sessions", json!({})).await.ok());
    let hidden = format!("mcp_session.{session}");
    let message = json!({ "jsonrpc": "2.0", "method": "tick" });
    let messages = format!("/v1/mcp-sessions/{session}/messages");
    let own = format!("topic=notification.{}&topic=topology.{}", boss.id().await, topologies[0]);
    let mut all = boss.stream(&format!("/v1/streams?topic={hidden}&{own}"), "").await;
    let mut only = boss.stream(&format!("/v1/streams?topic={hidden}"), "").await;
    for _ in 0..3 {
        all.expect("snapshot").await;
    }
    only.expect("snapshot").await;
    operator.post(&messages, message.clone()).await.ok();
    for reader in [&mut all, &mut only] {
        let block = reader.expect("message").await;
        assert_eq!(block.data, json!({ "topic": hidden, "data": message }));
    }
    publish(&app, topologies[0], 0..1, 10).await;
    all.expect("note").await;
    let path = format!("/v1/users/{}", boss.id().await);
    admin.call(Method::PATCH, &path, Some(json!({ "role": "viewer" }))).await.ok();
    let left = json!({ "topic": hidden, "reason": "forbidden" });
    let announced = all.expect("topic.closed").await;
    assert_eq!(announced.data, left);
    assert_eq!(only.expect("topic.closed").await.data, left);
    assert_eq!(only.expect("stream.closed").await.data, json!({ "reason": "role_lowered" }));
    only.expect_end().await;
    operator.post(&messages, message).await.ok();
    publish(&app, topologies[0], 1..3, 10).await;
    for number in 1..3 {
        assert_eq!(all.expect("note").await.data["data"]["number"], number);
    }
    assert_eq!(app.gateway.limits.open_slots(), 1);
    let listed = boss.get("/v1/connections").await.ok();
    let listed = listed["items"].as_array().expect("items");
    assert_eq!((listed.len(), listed[0]["topics"].as_array().map(Vec::len)), (1, Some(2)));
    assert_eq!(listed[0]["delivered"], 3 + 4, "{listed:?}");
    drop(all);
    // The cursor is good for what is left of the list.
    let query = format!("last_event_id={}", announced.id.expect("a cursor"));
    boss.get(&format!("/v1/streams?topic={hidden}&{own}&{query}")).await.problem(404);
    let mut rest = boss.stream(&format!("/v1/streams?{own}&{query}"), "").await;
    for number in 1..3 {
        assert_eq!(rest.expect("note").await.data["data"]["number"], number);
    }
    drop(rest);
    app.finish().await;
}
