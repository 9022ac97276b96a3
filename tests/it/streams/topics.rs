//! `GET /v1/streams`: the topics that a stream can have, and the end of each topic.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    App,
    events::publish,
    streams::{about, operator_with_topologies, path, snapshots, watch},
};

#[tokio::test]
async fn many_topics_take_one_slot_and_one_connection() {
    let app = App::with(|config| config.limits.streams_per_user = 1).await;
    let (operator, topologies) = operator_with_topologies(&app, 5).await;
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
    app.slots_freed().await;
    // The next stream gets the slot, and frees it by disconnecting.
    drop(watch(&operator, &topologies, "").await);
    app.finish().await;
}

#[tokio::test]
async fn invalid_topic_list_is_400_and_an_unknown_topic_404() {
    let app = App::start().await;
    let (operator, topologies) = operator_with_topologies(&app, 2).await;
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
async fn topic_that_ends_is_announced_and_the_others_continue() {
    let app = App::start().await;
    let (operator, topologies) = operator_with_topologies(&app, 2).await;
    let [ending, staying] = topologies[..] else { unreachable!("there are two") };
    let mut reader = watch(&operator, &topologies, "").await;
    snapshots(&mut reader, &topologies).await;
    operator.tear_down(ending).await;
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
    // A client that reconnects is told again, because it may have missed the announcement.
    let mut again = watch(&operator, &topologies, &format!("last_event_id={cursor}")).await;
    assert_eq!(again.expect("topic.closed").await.data, left);
    assert_eq!(again.expect("note").await.id, block.id);
    operator.tear_down(staying).await;
    let mut last = None;
    for reader in [&mut reader, &mut again] {
        reader.expect("status").await;
        reader.expect("status").await;
        last = reader.expect("topic.closed").await.id;
        let closed = reader.expect("stream.closed").await;
        assert_eq!((closed.data, closed.id), (json!({ "reason": "completed" }), None));
        reader.expect_end().await;
    }
    let last = format!("last_event_id={}", last.expect("a cursor"));
    let done = operator.get(&path(&topologies, &last)).await;
    assert_eq!(done.status, 204);
    app.finish().await;
}
