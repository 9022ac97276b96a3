//! The longest `data:` line of a stream: what does not fit into a snapshot is available over REST.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    App, Block, Caller, SseReader, id_of, mcp_session, notification, prompt, task,
    topology::operator_with_topology,
};

const MAX_DATA: usize = 500_000;

/// Reads the snapshot, and checks that its line is full and not too long.
async fn full_snapshot(mut reader: SseReader) -> (Block, Value) {
    let block = reader.expect("snapshot").await;
    let data = block.text.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    assert!((400_000..=MAX_DATA).contains(&data.len()), "{} bytes", data.len());
    let value = block.data.clone();
    (block, value)
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().expect("a list")
}

/// All items of a list operation, page by page.
async fn list(caller: &Caller, path: &str, mut after: Option<Uuid>) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let from = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let page = caller.get(&format!("{path}?limit=200{from}")).await.ok();
        all.extend_from_slice(items(&page, "items"));
        match page["next"].as_str() {
            Some(next) => after = Some(next.parse().expect("an id")),
            None => return all,
        }
    }
}

/// A task, and the cursor of that state.
async fn get_with_cursor(owner: &Caller, id: Uuid) -> (Value, String) {
    let answer = owner.get(&format!("/v1/tasks/{id}")).await;
    let cursor = answer.headers["last-event-id"].to_str().expect("ASCII").to_owned();
    (answer.ok(), cursor)
}

#[tokio::test]
async fn artifacts_left_out_of_a_snapshot_are_in_the_task() {
    let app = App::start().await;
    let (owner, agent) = task::owner_and_agent(&app).await;
    let id = task::create(&owner, "large").await;
    let claimed = task::claim(&agent, "large").await;
    let report = async |seq: u64, artifact: Value| {
        let report = json!({ "seq": seq, "artifact": artifact });
        task::send(&agent, &claimed, "report", report).await.ok();
    };
    // On a stream, each of these characters is an escape of six bytes.
    let text = "x".repeat(20_000) + &"\u{2028}".repeat(5_000);
    for number in 0..20 {
        report(number + 1, json!({ "artifact_id": format!("a-{number}"), "data": text })).await;
    }
    let (_, snapshot) = full_snapshot(task::watch(&owner, id, "").await).await;
    let (whole, cursor) = get_with_cursor(&owner, id).await;
    let (shown, all) = (items(&snapshot["task"], "artifacts"), items(&whole, "artifacts"));
    assert_eq!(all.len(), 20);
    assert_eq!(shown, &all[..shown.len()]);
    assert_eq!(snapshot["artifacts_left_out"], all.len() - shown.len());

    // A stream after the cursor of the task continues exactly from that state.
    let more = json!({ "artifact_id": "a-19", "data": "more", "append": true });
    report(21, more).await;
    let mut reader = task::watch(&owner, id, &format!("last_event_id={cursor}")).await;
    let event = reader.expect("task.artifact").await;
    assert_eq!((&event.data["seq"], &event.data["data"]), (&json!(21), &json!("more")));
    let (now, cursor) = get_with_cursor(&owner, id).await;
    assert_eq!(cursor, event.id.expect("a cursor"));
    assert_eq!(now["artifacts"][19]["data"], text + "more");
    let mut same = json!(all);
    same[19]["data"] = now["artifacts"][19]["data"].clone();
    assert_eq!(now["artifacts"], same);
    drop(reader);

    // A snapshot that has all artifacts does not mention others.
    let small = task::create(&owner, "small").await;
    let snapshot = task::watch(&owner, small, "").await.expect("snapshot").await.data;
    assert_eq!(snapshot.get("artifacts_left_out"), None);
    app.finish().await;
}

#[tokio::test]
async fn mutations_left_out_of_a_snapshot_are_in_the_list() {
    let app = App::start().await;
    let (operator, topology) = operator_with_topology(&app).await;
    let path = format!("/v1/topologies/{topology}/mutations");
    let mut ids = Vec::new();
    for _ in 0..60 {
        let new = json!({ "op": "add_node", "payload": { "pad": "x".repeat(16_000) } });
        ids.push(operator.post(&path, new).await.ok()["id"].clone());
    }
    let (_, snapshot) = full_snapshot(operator.watch(topology, "").await).await;
    let shown = items(&snapshot, "mutations");
    assert_eq!(snapshot["mutations_left_out"], ids.len() - shown.len());
    let last = id_of(shown.last().expect("a mutation"));
    let others = list(&operator, &path, Some(last)).await;
    let all: Vec<Value> = shown.iter().chain(&others).map(|one| one["id"].clone()).collect();
    assert_eq!(all, ids);
    app.finish().await;
}

#[tokio::test]
async fn notifications_left_out_of_a_snapshot_are_in_the_list() {
    let app = App::start().await;
    let (user, agent, path) = notification::user_and_agent(&app).await;
    let data = json!({ "pad": "x".repeat(16_000) });
    let mut ids = Vec::new();
    for _ in 0..40 {
        let new = json!({ "kind": "large", "message": "\u{1}".repeat(4_000), "data": data });
        ids.push(agent.post(&path, new).await.ok()["id"].clone());
    }
    let (_, snapshot) = full_snapshot(user.stream(&format!("{path}/stream"), "").await).await;
    let shown = items(&snapshot, "notifications");
    assert_eq!(snapshot["unread"], 40);
    let newest: Vec<Value> = ids.iter().rev().take(shown.len()).cloned().collect();
    assert_eq!(shown.iter().map(|one| one["id"].clone()).collect::<Vec<_>>(), newest);
    let mut listed: Vec<Value> =
        list(&user, &path, None).await.iter().map(|one| one["id"].clone()).collect();
    listed.sort_by_key(Value::to_string);
    assert_eq!(listed, ids, "the list has all of them");
    app.finish().await;
}

#[tokio::test]
async fn events_left_out_of_a_snapshot_are_in_the_pages() {
    let app = App::start().await;
    let (owner, agent) = prompt::owner_and_agent(&app).await;
    let session = id_of(&owner.post("/v1/sessions", json!({})).await.ok());
    let path = format!("/v1/sessions/{session}/prompts");
    // In JSON, each of these characters is an escape of six bytes.
    let new = json!({ "prompt": "\u{1}".repeat(40_000) });
    let path = format!("{path}/{}", id_of(&owner.post(&path, new).await.ok()));
    for number in 0..20 {
        let data = json!({ "number": number, "text": "x".repeat(60_000) });
        let body = json!({ "kind": "message", "data": data });
        prompt::publish(&agent, &path, &Value::Null, body).await.ok();
    }
    let (block, snapshot) = full_snapshot(prompt::watch(&owner, &path, "").await).await;
    let shown = items(&snapshot, "events");
    assert_eq!(snapshot["earlier"], true);
    let pages = prompt::events(&owner, &path).await;
    let of = |events: &[Value]| events.iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    assert_eq!(of(shown), of(&pages[pages.len() - shown.len()..]));
    assert_eq!(shown.last().expect("an event")["id"], block.id.expect("an id"));
    app.finish().await;
}

#[tokio::test]
async fn largest_accepted_event_fits_into_a_line() {
    let app = App::start().await;
    let user = app.caller(entity::user::Role::Viewer).await;
    let session = mcp_session::session_of(&user, json!({})).await;
    let id = session.rsplit_once('/').expect("a path").1;
    let mut readers = Vec::new();
    for path in [format!("{session}/stream"), format!("/v1/streams?topic=mcp_session.{id}")] {
        let mut reader = user.stream(&path, "").await;
        reader.expect("snapshot").await;
        readers.push(reader);
    }
    // The limit counts the escapes that the stream needs.
    let message = |count: usize| {
        let mut message = mcp_session::request(1);
        message["params"]["pad"] = "\u{85}".repeat(count).into();
        message
    };
    let path = format!("{session}/messages");
    let refused = user.post(&path, message(262_144 / 6)).await.problem(400);
    assert!(refused.contains("262144 bytes"), "{refused}");
    user.post(&path, message(43_600)).await.ok();
    for mut reader in readers {
        let text = reader.expect("message").await.text;
        let line = text.lines().find(|line| line.starts_with("data: ")).expect("data");
        assert!((261_600..MAX_DATA).contains(&line.len()), "{} bytes", line.len());
    }
    app.finish().await;
}
