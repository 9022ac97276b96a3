//! `GET /v1/connections`.

use entity::{Timestamp, user::Role};
use futures_util::StreamExt;
use serde_json::{Value, json};
use streamgate::telemetry::MetricsFormat;
use uuid::Uuid;

use crate::support::{
    connection::{delete, id, list},
    events::publish,
    http2, soon,
    topology::app_with_topology,
};

#[tokio::test]
async fn users_end_own_connections_and_administrators_end_all() {
    let (app, operator, topology) = app_with_topology(|_| ()).await;
    let admin = app.log_in("admin").await;
    let other = app.caller(Role::Viewer).await;
    let me = operator.id().await;
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
    // Only an administrator finds the connections of other users.
    let unknown = delete(&other, &Uuid::now_v7().to_string()).await.problem(404);
    assert_eq!(delete(&other, id(&mine)).await.problem(404), unknown);
    assert_eq!(delete(&operator, id(&mine)).await.status, 204);
    assert_eq!(mine.expect("stream.closed").await.data, json!({ "reason": "disconnected" }));
    mine.expect_end().await;
    delete(&operator, id(&mine)).await.problem(404);
    assert_eq!(delete(&admin, id(&theirs)).await.status, 204);
    assert_eq!(theirs.expect("stream.closed").await.data, json!({ "reason": "disconnected" }));
    theirs.expect_end().await;
    app.slots_freed().await;
    assert!(list(&admin).await.is_empty());
    let closed = "streamgate_streams_closed_total{family=\"topology\",reason=\"disconnected\"}";
    assert!(
        (app.metric(closed) - 2.0).abs() < 0.1,
        "{}",
        app.gateway.telemetry.render(MetricsFormat::OpenMetrics)
    );
    app.finish().await;
}

#[tokio::test]
async fn delivered_events_are_counted_on_every_delivery_path() {
    let (app, operator, topology) = app_with_topology(|_| ()).await;
    let mut bounded = operator.watch(topology, "max_events=100").await;
    bounded.expect("snapshot").await;
    let mut readers = Vec::new();
    for _ in 0..12 {
        let mut reader = operator.watch(topology, "").await;
        reader.expect("snapshot").await;
        readers.push(reader);
    }
    let client = http2();
    let url = app.url(&format!("/v1/topologies/{topology}/stream"));
    let token = operator.token.as_deref().expect("a token");
    let answer = client.get(url).bearer_auth(token).send().await.expect("a response");
    let mut body = answer.bytes_stream();
    let mut text = String::new();
    let mut read_body = async |what: &str, count: usize| {
        while text.matches(what).count() < count {
            let bytes = soon("chunk", body.next()).await.expect("a body").expect("a chunk");
            text.push_str(std::str::from_utf8(&bytes).expect("UTF-8"));
        }
    };
    for round in 1..=3 {
        publish(&app, topology, 0..5, 10).await;
        for reader in readers.iter_mut().chain([&mut bounded]) {
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
    while let Some(rest) = soon("end", body.next()).await {
        assert!(rest.expect("a chunk").is_empty());
    }
    drop((readers, bounded));
    app.finish().await;
}
