//! A role that is lowered while a stream of many topics is open.

use entity::user::Role;
use reqwest::Method;
use serde_json::json;

use crate::support::{
    App,
    events::publish,
    id_of,
    streams::{about, operator_with_topologies, snapshots, watch},
};

#[tokio::test]
async fn stream_continues_if_the_lowered_role_sees_all_topics() {
    let app = App::start().await;
    let (operator, topologies) = operator_with_topologies(&app, 3).await;
    let admin = app.log_in("admin").await;
    let me = operator.id().await;
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
            let index =
                topologies.iter().position(|id| *id == about(&block)).expect("a watched topic");
            assert_eq!(block.data["data"]["number"], next[index]);
            next[index] += 1;
        }
    }
    // With one topic, the stream would end.
    assert_eq!(app.gateway.limits.open_slots(), 1);
    let disabled = json!({ "disabled": true });
    admin.call(Method::PATCH, &format!("/v1/users/{me}"), Some(disabled)).await.ok();
    assert_eq!(reader.expect("stream.closed").await.data, json!({ "reason": "user_disabled" }));
    reader.expect_end().await;
    app.finish().await;
}

#[tokio::test]
async fn topic_hidden_from_a_lowered_role_closes_and_others_continue() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let (operator, topologies) = operator_with_topologies(&app, 1).await;
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
    // The cursor is valid for the rest of the list.
    let query = format!("last_event_id={}", announced.id.expect("a cursor"));
    boss.get(&format!("/v1/streams?topic={hidden}&{own}&{query}")).await.problem(404);
    let mut rest = boss.stream(&format!("/v1/streams?{own}&{query}"), "").await;
    for number in 1..3 {
        assert_eq!(rest.expect("note").await.data["data"]["number"], number);
    }
    drop(rest);
    app.finish().await;
}
