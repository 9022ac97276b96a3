//! Notifications: who is told, who may know, and what is told of them.

use entity::user::Role;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::{App, Caller, id_of, soon, until};

/// A user, somebody who tells them things, and the path of the user's notifications.
async fn stage(app: &App) -> (Caller, Caller, String) {
    let (user, agent) = (app.caller(Role::Viewer).await, app.caller(Role::Agent).await);
    let path = format!("/v1/users/{}/notifications", user.id().await);
    (user, agent, path)
}

/// Tells the user something with this number.
async fn tell(agent: &Caller, path: &str, number: u64) -> Value {
    let new = json!({
        "kind": "report.ready",
        "message": format!("Report {number} is ready."),
        "data": { "number": number },
    });
    agent.post(path, new).await.ok()
}

#[tokio::test]
async fn a_user_is_told_at_once_and_stream_list_and_event_page_tell_the_same() {
    let app = App::start().await;
    let (user, agent, path) = stage(&app).await;
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
    assert_eq!(user.post(&read_path, json!({})).await.ok(), read, "once more changes nothing");
    for (query, expected) in [("true", &bare), ("false", &read)] {
        let list = user.get(&format!("{path}?unread={query}")).await.ok();
        assert_eq!(list["items"], json!([expected]));
    }
    let page = user.get(&format!("{path}/events")).await.ok();
    let kinds: Vec<_> = page["events"].as_array().expect("events").iter().collect();
    assert_eq!(kinds.len(), 3, "the second reading told nothing: {page}");
    assert_eq!(kinds[2]["data"], read);
    drop(reader);

    // Who resumes gets what followed, who begins gets the present.
    let query = format!("last_event_id={}", snapshot.id.expect("a cursor"));
    let mut resumed = user.stream(&format!("{path}/stream?{query}"), "").await;
    assert_eq!(resumed.expect("notification").await.data, told);
    drop(resumed);
    let mut afresh = user.stream(&format!("{path}/stream"), "").await;
    let data = afresh.expect("snapshot").await.data;
    assert_eq!(data, json!({ "unread": 1, "notifications": [bare] }));
    drop(afresh);
    app.finish().await;
}

#[tokio::test]
async fn nobody_else_reads_watches_or_marks_them_whatever_the_role() {
    let app = App::start().await;
    let (user, agent, path) = stage(&app).await;
    let told = tell(&agent, &path, 1).await;
    let id = path.split('/').nth(3).expect("an id").to_owned();
    // Somebody who is not there is no other case.
    let nobody = format!("/v1/users/{}/notifications", Uuid::now_v7());
    for role in [Role::Viewer, Role::Agent, Role::Operator, Role::Admin] {
        let other = app.caller(role).await;
        for path in [&path, &nobody] {
            for part in ["", "/stream", "/events"] {
                other.get(&format!("{path}{part}")).await.problem(403);
            }
            let read = format!("{path}/{}/read", id_of(&told));
            other.post(&read, json!({})).await.problem(403);
        }
        let wanted = json!({ "family": "notification", "id": id });
        other.post("/v1/stream-tokens", wanted).await.problem(403);
    }
    let list = user.get(&path).await.ok();
    assert_eq!(list["items"], json!([told]), "still unread");
    // The user's own token for it opens it, and no other stream.
    let wanted = json!({ "family": "notification", "id": id });
    let minted = user.post("/v1/stream-tokens", wanted).await.ok();
    let url = minted["url"].as_str().expect("a URL");
    let mut reader = app.anyone().stream(url, "").await;
    assert_eq!(reader.expect("snapshot").await.data["unread"], 1);
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn agents_and_operators_tell_others_and_what_makes_no_sense_is_refused() {
    let app = App::start().await;
    let (user, agent, path) = stage(&app).await;
    let new = json!({ "kind": "report.ready", "message": "Ready." });
    user.post(&path, new.clone()).await.problem(403);
    let operator = app.caller(Role::Operator).await;
    operator.post(&path, new.clone()).await.ok();
    let nobody = format!("/v1/users/{}/notifications", Uuid::now_v7());
    agent.post(&nobody, new.clone()).await.problem(404);
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

#[tokio::test]
async fn the_snapshot_has_the_number_of_all_unread_ones_and_the_newest_fifty() {
    let app = App::start().await;
    let (user, agent, path) = stage(&app).await;
    for number in 0..60 {
        tell(&agent, &path, number).await;
    }
    let mut reader = user.stream(&format!("{path}/stream?max_events=1"), "").await;
    let snapshot = reader.expect("snapshot").await.data;
    assert_eq!(snapshot["unread"], 60);
    let shown = snapshot["notifications"].as_array().expect("a list");
    let numbers: Vec<_> = shown.iter().map(|one| one["data"]["number"].as_u64()).collect();
    assert_eq!(numbers, (10..60).rev().map(Some).collect::<Vec<_>>());
    reader.expect_end().await;
    // All of them, page by page.
    let first = user.get(&format!("{path}?limit=50")).await.ok();
    let next = first["next"].as_str().expect("more");
    let second = user.get(&format!("{path}?limit=50&after={next}")).await.ok();
    let oldest = &second["items"].as_array().expect("a list")[9];
    assert_eq!((&oldest["data"]["number"], second.get("next")), (&json!(0), None));
    app.finish().await;
}

#[tokio::test]
async fn old_ones_are_deleted_and_who_watches_hears_of_those_that_were_not_read() {
    let app = App::with(|config| {
        config.retention.notification_seconds = 1;
        config.retention.sweep_seconds = 1;
    })
    .await;
    let (user, agent, path) = stage(&app).await;
    let mut reader = user.stream(&format!("{path}/stream"), "").await;
    reader.expect("snapshot").await;
    let (read, unread) = (tell(&agent, &path, 1).await, tell(&agent, &path, 2).await);
    user.post(&format!("{path}/{}/read", id_of(&read)), json!({})).await.ok();
    for kind in ["notification", "notification", "notification.read"] {
        reader.expect(kind).await;
    }
    let expired = reader.expect("notification.expired").await;
    assert_eq!(expired.data, json!({ "unread": [id_of(&unread)] }));
    assert_eq!(user.get(&path).await.ok(), json!({ "items": [] }));
    drop(reader);
    let mut afresh = user.stream(&format!("{path}/stream"), "").await;
    assert_eq!(afresh.expect("snapshot").await.data["unread"], 0);
    drop(afresh);
    app.finish().await;
}

#[tokio::test]
async fn a_deleted_user_leaves_nothing_behind() {
    let app = App::start().await;
    let (user, agent, path) = stage(&app).await;
    tell(&agent, &path, 1).await;
    let mut reader = user.stream(&format!("{path}/stream"), "").await;
    reader.expect("snapshot").await;
    let id: Uuid = path.split('/').nth(3).and_then(|id| id.parse().ok()).expect("an id");
    let topic: streamgate::event::Topic = format!("notification.{id}").parse().expect("a topic");
    let log = app.gateway.hub.log();
    let topics = [topic];
    assert_eq!(log.positions(&topics).await.expect("an answer").len(), 1);
    let admin = app.log_in("admin").await;
    admin.call(Method::DELETE, &format!("/v1/users/{id}"), None).await.ok();
    let closed = soon("end", reader.next()).await.expect("a word");
    assert_eq!(closed.event, "stream.closed");
    reader.expect_end().await;
    until("end of the log", async || log.positions(&topics).await.expect("it").is_empty()).await;
    agent.post(&path, json!({ "kind": "ping", "message": "!" })).await.problem(404);
    app.finish().await;
}
