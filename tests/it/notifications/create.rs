//! `POST /v1/users/{id}/notifications`.

use entity::user::Role;
use serde_json::json;
use uuid::Uuid;

use crate::support::{App, id_of, notification::user_and_agent};

#[tokio::test]
async fn notification_is_the_same_in_stream_list_and_event_page() {
    let app = App::start().await;
    let (user, agent, path) = user_and_agent(&app).await;
    let mut reader = user.stream(&format!("{path}/stream"), "").await;
    let snapshot = reader.expect("snapshot").await;
    assert_eq!(snapshot.data, json!({ "unread": 0, "notifications": [] }));
    let new = json!({
        "kind": "oauth.refreshed",
        "message": "Renewed.",
        "provider": "github",
        "success": true,
        "data": { "scopes": ["repo"] },
    });
    let answer = agent.post(&path, new.clone()).await;
    assert_eq!(answer.status, 201);
    let told = answer.ok();
    for (name, value) in new.as_object().expect("an object") {
        assert_eq!(&told[name], value, "{name}");
    }
    let event = reader.expect("notification").await;
    assert_eq!(event.data, told);

    let bare = agent.post(&path, json!({ "kind": "ping", "message": "!" })).await.ok();
    assert_eq!((&bare["data"], bare.get("success")), (&json!({}), None));
    reader.expect("notification").await;
    let list = user.get(&path).await.ok();
    assert_eq!(list, json!({ "items": [bare, told] }), "newest first");

    let read_path = format!("{path}/{}/read", id_of(&told));
    let read = user.post(&read_path, json!({})).await.ok();
    assert!(read["read_at"].is_string(), "{read}");
    let event = reader.expect("notification.read").await;
    assert_eq!(event.data, read);
    assert_eq!(user.post(&read_path, json!({})).await.ok(), read, "a second time changes nothing");
    for (query, expected) in [("true", &bare), ("false", &read)] {
        let list = user.get(&format!("{path}?unread={query}")).await.ok();
        assert_eq!(list["items"], json!([expected]));
    }
    let page = user.get(&format!("{path}/events")).await.ok();
    let kinds: Vec<_> = page["events"].as_array().expect("events").iter().collect();
    assert_eq!(kinds.len(), 3, "the second read adds no event: {page}");
    assert_eq!(kinds[2]["data"], read);
    drop(reader);

    // A resumed stream gets the later events. A new stream gets the current state.
    let query = format!("last_event_id={}", snapshot.id.expect("a cursor"));
    let mut resumed = user.stream(&format!("{path}/stream?{query}"), "").await;
    assert_eq!(resumed.expect("notification").await.data, told);
    drop(resumed);
    let mut fresh = user.stream(&format!("{path}/stream"), "").await;
    let data = fresh.expect("snapshot").await.data;
    assert_eq!(data, json!({ "unread": 1, "notifications": [bare] }));
    drop(fresh);
    app.finish().await;
}

#[tokio::test]
async fn notification_needs_the_role_agent_and_a_valid_body() {
    let app = App::start().await;
    let (user, agent, path) = user_and_agent(&app).await;
    let new = json!({ "kind": "report.ready", "message": "Ready." });
    user.post(&path, new.clone()).await.problem(403);
    let operator = app.caller(Role::Operator).await;
    operator.post(&path, new.clone()).await.ok();
    let unknown = format!("/v1/users/{}/notifications", Uuid::now_v7());
    agent.post(&unknown, new.clone()).await.problem(404);
    for (name, value) in [
        ("kind", json!("")),
        ("kind", json!("Report")),
        ("kind", json!("report..ready")),
        ("kind", json!(".ready")),
        ("kind", json!("a\ndata: forged")),
        ("kind", json!("x".repeat(65))),
        ("message", json!("")),
        ("message", json!(5)),
        ("message", json!("x".repeat(4_001))),
        ("provider", json!("")),
        ("success", json!("yes")),
        ("data", json!([])),
        ("data", json!({ "pad": "x".repeat(16_384) })),
        ("surprise", json!(1)),
    ] {
        let mut wrong = new.clone();
        wrong[name] = value;
        let answer = agent.post(&path, wrong.clone()).await;
        assert_eq!(answer.status, 400, "{wrong}");
        answer.problem(400);
    }
    assert_eq!(user.get(&path).await.ok()["items"].as_array().map(Vec::len), Some(1));
    user.post(&format!("{path}/{}/read", Uuid::now_v7()), json!({})).await.problem(404);
    app.finish().await;
}
