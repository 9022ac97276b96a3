//! A subscriber of any family rebuilds the resource from its snapshot and events, while several
//! clients change it at once. Tasks and prompts have such tests in their own folders.

use entity::user::Role;
use futures_util::future::join_all;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    App, Block, Caller, id_of,
    mutation::{claim, report},
    rebuilt::Rebuilt,
};

/// The steps of several clients, and the steps before the subscriber opens its stream.
type Play = (Vec<Vec<u8>>, Vec<u8>);

/// Some plays with this many kinds of steps.
fn plays(kinds: u8) -> Vec<Play> {
    let steps = || prop::collection::vec(0..kinds, 1..12);
    let strategy = (prop::collection::vec(steps(), 1..4), steps());
    let mut runner = TestRunner::deterministic();
    let mut one = || strategy.new_tree(&mut runner).expect("a play").current();
    (0..12).map(|_| one()).collect()
}

/// Takes the steps in order. A step can fail because of the steps of other clients.
async fn perform(steps: &[u8], act: impl AsyncFn(u8)) {
    for step in steps {
        act(*step).await;
    }
}

fn by_id(list: &Value, id: &Value) -> Option<usize> {
    list.as_array().expect("a list").iter().position(|item| item["id"] == *id)
}

/// Replaces the item with this id, or appends it. Returns whether it is new.
fn insert(list: &mut Value, item: &Value) -> bool {
    let at = by_id(list, &item["id"]);
    let items = list.as_array_mut().expect("a list");
    match at {
        Some(at) => items[at] = item.clone(),
        None => items.push(item.clone()),
    }
    at.is_none()
}

fn remove(list: &mut Value, id: &Value) {
    if let Some(at) = by_id(list, id) {
        list.as_array_mut().expect("a list").remove(at);
    }
}

fn count_up(number: &mut Value, by: i64) {
    *number = json!(number.as_i64().expect("a number") + by);
}

/// Applies an event to `{topology, mutations}`.
fn apply_to_topology(state: &mut Value, event: &Block) {
    match event.event.as_str() {
        "status" => {
            let topology = &mut state["topology"];
            topology["status"] = event.data["to"].clone();
            topology["status_changed_at"] = event.data["at"].clone();
            count_up(&mut topology["version"], 1);
        }
        "mutation.enqueued" if insert(&mut state["mutations"], &event.data) => {
            count_up(&mut state["topology"]["version"], 1);
        }
        "mutation.enqueued" => {}
        "mutation.applying" => {
            insert(&mut state["mutations"], &event.data);
        }
        "mutation.applied" | "mutation.failed" => {
            remove(&mut state["mutations"], &event.data["id"]);
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn topology_is_rebuilt_from_its_stream() {
    let app = App::start().await;
    let (operator, agent) = (app.caller(Role::Operator).await, app.caller(Role::Agent).await);
    let mut events = 0;
    for (steps, before) in plays(6) {
        let id = app.active_topology(&operator).await;
        let path = format!("/v1/topologies/{id}");
        let mutations = format!("{path}/mutations");
        let act = async |step: u8| match step {
            0 | 1 => drop(operator.mutate(id, 1).await),
            2 => drop(operator.set_status(id, "degraded").await),
            3 => drop(operator.set_status(id, "active").await),
            4 => drop(claim(&agent, &mutations, 1).await),
            _ => {
                for claimed in claim(&agent, &mutations, 2).await {
                    report(&agent, &mutations, &claimed, "applied").await;
                }
            }
        };
        perform(&before, act).await;
        let reader = operator.stream(&format!("{path}/stream"), "").await;
        let mut rebuilt = Rebuilt::from(reader, "").await;
        join_all(steps.iter().map(|steps| perform(steps, act))).await;
        rebuilt.catch_up(&operator, &format!("{path}/events"), apply_to_topology).await;
        events += rebuilt.events;
        let shown = json!({
            "topology": operator.get(&path).await.ok(),
            "mutations": in_flight(&operator, &mutations).await,
        });
        assert_eq!(rebuilt.state, shown, "{before:?}, then {steps:?}");
    }
    assert!(events > 12, "only {events} events");
    app.finish().await;
}

/// The pending and applying mutations, oldest first.
async fn in_flight(caller: &Caller, path: &str) -> Value {
    let all = caller.get(&format!("{path}?limit=200")).await.ok();
    let is_in_flight =
        |item: &&Value| ["pending", "applying"].contains(&item["state"].as_str().expect("a state"));
    all["items"].as_array().expect("a list").iter().filter(is_in_flight).cloned().collect()
}

/// Applies an event to `{unread, notifications}`. This is correct for fewer than fifty
/// notifications.
fn apply_to_notifications(state: &mut Value, event: &Block) {
    let by = match event.event.as_str() {
        "notification" => {
            let list = state["notifications"].as_array_mut().expect("a list");
            list.insert(0, event.data.clone());
            1
        }
        "notification.read" => {
            remove(&mut state["notifications"], &event.data["id"]);
            -1
        }
        other => panic!("{other}"),
    };
    count_up(&mut state["unread"], by);
}

#[tokio::test]
async fn notifications_are_rebuilt_from_their_stream() {
    let app = App::start().await;
    let agent = app.caller(Role::Agent).await;
    let mut events = 0;
    for (steps, before) in plays(4) {
        let user = app.caller(Role::Viewer).await;
        let path = format!("/v1/users/{}/notifications", user.id().await);
        let act = async |step: u8| {
            if step < 2 {
                let new = json!({ "kind": "report.ready", "message": "Ready." });
                agent.post(&path, new).await.ok();
                return;
            }
            // Marks the newest or the oldest notification as read. Another step may mark it at the
            // same time.
            let unread = user.get(&format!("{path}?unread=true")).await.ok();
            let unread = unread["items"].as_array().expect("a list");
            let one = if step == 2 { unread.first() } else { unread.last() };
            if let Some(one) = one {
                user.post(&format!("{path}/{}/read", id_of(one)), json!({})).await.ok();
            }
        };
        perform(&before, act).await;
        let reader = user.stream(&format!("{path}/stream"), "").await;
        let mut rebuilt = Rebuilt::from(reader, "").await;
        join_all(steps.iter().map(|steps| perform(steps, act))).await;
        rebuilt.catch_up(&user, &format!("{path}/events"), apply_to_notifications).await;
        events += rebuilt.events;
        let unread = user.get(&format!("{path}?unread=true&limit=200")).await.ok()["items"].take();
        let count = unread.as_array().map(Vec::len);
        // Events of notifications that were created at the same time may have another order than
        // the ids.
        let mut state = rebuilt.state;
        let list = state["notifications"].as_array_mut().expect("a list");
        list.sort_by_key(|one| std::cmp::Reverse(id_of(one)));
        assert_eq!(state, json!({ "unread": count, "notifications": unread }), "{steps:?}");
    }
    assert!(events > 12, "only {events} events");
    app.finish().await;
}

/// Applies an event to `{session, messages}`.
fn apply_to_mcp_session(state: &mut Value, event: &Block) {
    match event.event.as_str() {
        "message" => {
            let mut messages = state["messages"].take();
            if messages.is_null() {
                messages = json!([]);
            }
            messages.as_array_mut().expect("a list").push(event.data.clone());
            state["messages"] = messages;
        }
        "closed" => state["session"] = event.data["session"].clone(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn mcp_session_is_rebuilt_from_its_stream() {
    let app = App::start().await;
    let (user, agent) = (app.caller(Role::Viewer).await, app.caller(Role::Agent).await);
    let mut events = 0;
    for (steps, before) in plays(12) {
        let session = id_of(&user.post("/v1/mcp-sessions", json!({})).await.ok());
        let path = format!("/v1/mcp-sessions/{session}");
        let act = async |step: u8| {
            let caller = if step.is_multiple_of(2) { &user } else { &agent };
            if step == 0 {
                user.call(Method::DELETE, &path, None).await.ok();
            } else {
                let message = json!({ "jsonrpc": "2.0", "method": "note", "params": [step] });
                let status = caller.post(&format!("{path}/messages"), message).await.status;
                assert!([202, 409].contains(&status.as_u16()), "{status}");
            }
        };
        // The session must be open, or there would be no stream.
        let before: Vec<u8> = before.into_iter().filter(|step| *step > 0).collect();
        perform(&before, act).await;
        let reader = user.stream(&format!("{path}/stream"), "").await;
        let mut rebuilt = Rebuilt::from(reader, "").await;
        join_all(steps.iter().map(|steps| perform(steps, act))).await;
        rebuilt.catch_up(&user, &format!("{path}/events"), apply_to_mcp_session).await;
        events += rebuilt.events;
        let page = user.get(&format!("{path}/events?limit=200")).await.ok();
        let events = page["events"].as_array().expect("events").iter();
        let messages = events.filter(|event| event["kind"] == "message");
        let messages: Vec<_> =
            messages.skip(before.len()).map(|event| event["data"].clone()).collect();
        let told = rebuilt.state["messages"].as_array().cloned().unwrap_or_default();
        assert_eq!(told, messages, "{steps:?}");
        assert_eq!(rebuilt.state["session"], user.get(&path).await.ok(), "{steps:?}");
    }
    assert!(events > 12, "only {events} events");
    app.finish().await;
}
