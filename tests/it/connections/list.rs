//! Open connections: who sees them, what is said about them, who may end them.

use entity::{Timestamp, user::Role};
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use streamgate::event::{Family, Topic};
use uuid::Uuid;

use crate::{
    hub::slow_clients::{note, stage},
    support::{
        app::{Answer, App, Caller, id_of, soon, until},
        sse::SseReader,
    },
};

/// What the caller sees.
async fn list(caller: &Caller) -> Vec<Value> {
    let page = caller.get("/v1/connections?limit=200").await.ok();
    assert!(page["next"].is_null(), "more than a page");
    page["items"].as_array().expect("items").clone()
}

async fn delete(caller: &Caller, id: &str) -> Answer {
    caller.call(Method::DELETE, &format!("/v1/connections/{id}"), None).await
}

/// The id of a stream's connection.
fn id(reader: &SseReader) -> &str {
    reader.header("x-request-id").expect("an id")
}

/// Publishes this many events of a topology.
async fn publish(app: &App, topology: Uuid, count: u64, size: usize) {
    let topic = Topic::new(Family::Topology, topology);
    for number in 0..count {
        let events = vec![note(number, size)];
        app.gateway.hub.publish(topic.clone(), events).await.expect("an acknowledgement");
    }
}

#[tokio::test]
async fn one_sees_and_ends_ones_own_and_an_admin_everybodys() {
    let (app, operator, topology) = stage(|_| ()).await;
    let admin = app.log_in("admin").await;
    let other = app.caller(Role::Viewer).await;
    let me = id_of(&operator.get("/v1/auth/me").await.ok());
    let before = Timestamp::now().datetime();
    let mut mine = operator.watch(topology, "").await;
    mine.expect("snapshot").await;
    let mut theirs = other.watch(topology, "").await;
    theirs.expect("snapshot").await;
    let own = list(&operator).await;
    assert_eq!(own.len(), 1, "{own:?}");
    assert_eq!(own[0]["id"], id(&mine));
    assert_eq!(own[0]["user_id"], json!(me));
    assert_eq!(own[0]["topics"], json!([format!("topology.{topology}")]));
    assert_eq!(own[0]["address"], "127.0.0.1");
    assert_eq!((&own[0]["delivered"], &own[0]["lag"]), (&json!(1), &json!(0)));
    let since = own[0]["since"].as_str().expect("a time");
    let format = &time::format_description::well_known::Rfc3339;
    let since = time::OffsetDateTime::parse(since, format).expect("a time");
    let took = since - before;
    assert!(took.abs() < time::Duration::seconds(20), "opened {took} after this began");
    let all = list(&admin).await;
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!((&all[0]["id"], &all[1]["id"]), (&json!(id(&mine)), &json!(id(&theirs))));
    let first = admin.get("/v1/connections?limit=1").await.ok();
    assert_eq!((first["items"].as_array().map(Vec::len), &first["next"]), (Some(1), &all[0]["id"]));
    let rest = format!("/v1/connections?limit=1&after={}", id(&mine));
    let rest = admin.get(&rest).await.ok();
    assert_eq!((&rest["items"][0]["id"], &rest["next"]), (&all[1]["id"], &Value::Null));
    // Another's is not there for anybody but an admin.
    let unknown = delete(&other, &Uuid::now_v7().to_string()).await.problem(404);
    assert_eq!(delete(&other, id(&mine)).await.problem(404), unknown);
    assert_eq!(delete(&operator, id(&mine)).await.status, 204);
    assert_eq!(mine.expect("stream.closed").await.data, json!({ "reason": "disconnected" }));
    mine.expect_end().await;
    delete(&operator, id(&mine)).await.problem(404);
    assert_eq!(delete(&admin, id(&theirs)).await.status, 204);
    assert_eq!(theirs.expect("stream.closed").await.data, json!({ "reason": "disconnected" }));
    theirs.expect_end().await;
    until("slots freed", async || app.gateway.limits.open_slots() == 0).await;
    assert!(list(&admin).await.is_empty());
    let closed = "streamgate_streams_closed_total{family=\"topology\",reason=\"disconnected\"}";
    assert!((app.metric(closed) - 2.0).abs() < 0.1, "{}", app.gateway.telemetry.render());
    app.finish().await;
}

#[tokio::test]
async fn one_of_a_crowd_is_ended_and_the_others_go_on() {
    let (app, operator, topology) = stage(|_| ()).await;
    let mut crowd = Vec::new();
    for _ in 0..12 {
        let mut reader = operator.watch(topology, "").await;
        reader.expect("snapshot").await;
        crowd.push(reader);
    }
    // At ease, where a walk alone knows how far each was written to.
    publish(&app, topology, 3, 10).await;
    for reader in &mut crowd {
        for _ in 0..3 {
            reader.expect("note").await;
        }
    }
    assert_eq!(delete(&operator, id(&crowd[5])).await.status, 204);
    let mut ended = crowd.swap_remove(5);
    assert_eq!(ended.expect("stream.closed").await.data["reason"], "disconnected");
    ended.expect_end().await;
    publish(&app, topology, 1, 10).await;
    for reader in &mut crowd {
        reader.expect("note").await;
    }
    assert_eq!(list(&operator).await.len(), 11);
    drop((crowd, ended));
    app.finish().await;
}

#[tokio::test]
async fn what_was_delivered_is_counted_whatever_the_way() {
    let (app, operator, topology) = stage(|_| ()).await;
    let mut bounded = operator.watch(topology, "max_events=100").await;
    bounded.expect("snapshot").await;
    let mut crowd = Vec::new();
    for _ in 0..12 {
        let mut reader = operator.watch(topology, "").await;
        reader.expect("snapshot").await;
        crowd.push(reader);
    }
    let client = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    let url = app.url(&format!("/v1/topologies/{topology}/stream"));
    let token = operator.token.as_deref().expect("a token");
    let answer = client.get(url).bearer_auth(token).send().await.expect("an answer");
    let mut body = answer.bytes_stream();
    let mut text = String::new();
    let mut read_body = async |what: &str, count: usize| {
        while text.matches(what).count() < count {
            let bytes = soon("a chunk", body.next()).await.expect("a body").expect("a chunk");
            text.push_str(std::str::from_utf8(&bytes).expect("UTF-8"));
        }
    };
    for round in 1..=3 {
        publish(&app, topology, 5, 10).await;
        for reader in crowd.iter_mut().chain([&mut bounded]) {
            for _ in 0..5 {
                reader.expect("note").await;
            }
        }
        read_body("event: note\n", 5 * round).await;
        let listed = list(&operator).await;
        assert_eq!(listed.len(), 14);
        for one in listed {
            assert_eq!(one["delivered"], 1 + 5 * round, "{one}");
            assert_eq!(one["lag"], 0, "{one}");
        }
    }
    let ended = list(&operator).await.last().expect("the body")["id"].clone();
    assert_eq!(delete(&operator, ended.as_str().expect("an id")).await.status, 204);
    read_body("event: stream.closed\ndata: {\"reason\":\"disconnected\"}\n\n", 1).await;
    while let Some(rest) = soon("the end", body.next()).await {
        assert!(rest.expect("a chunk").is_empty());
    }
    drop((crowd, bounded));
    app.finish().await;
}

#[tokio::test]
async fn whoever_does_not_read_lags_and_can_be_ended_too() {
    let (app, operator, topology) = stage(|_| ()).await;
    let mut slow = operator.watch(topology, "").await;
    slow.expect("snapshot").await;
    // The same as the body of a response.
    let path = format!("/v1/streams?topic=topology.{topology}");
    let mut body = operator.stream(&path, "").await;
    body.expect("snapshot").await;
    // 12 MB, more than loopback's buffers take.
    publish(&app, topology, 200, 60_000).await;
    for one in list(&operator).await {
        let number = |name: &str| one[name].as_u64().expect("a number");
        assert!(number("lag") > 0, "{one}");
        assert_eq!(number("delivered") + number("lag"), 1 + 200, "{one}");
    }
    for reader in [&slow, &body] {
        assert_eq!(delete(&operator, id(reader)).await.status, 204);
    }
    // Though nobody reads that it has ended.
    until("slot freed", async || app.gateway.limits.open_slots() == 0).await;
    assert!(list(&operator).await.is_empty());
    drop((slow, body));
    app.finish().await;
}
