//! Creates, claims and watches prompts, and publishes their events.

use entity::user::Role;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    app::App,
    caller::{Answer, Caller, id_of},
    sse::SseReader,
};

/// A prompt and its path.
#[derive(Clone)]
pub struct CreatedPrompt {
    pub session: Uuid,
    pub id: Uuid,
    pub path: String,
}

/// Creates a user and an agent.
pub async fn owner_and_agent(app: &App) -> (Caller, Caller) {
    (app.caller(Role::Viewer).await, app.caller(Role::Agent).await)
}

/// Creates a prompt in a new conversation.
pub async fn create(owner: &Caller) -> CreatedPrompt {
    let session = id_of(&owner.post("/v1/sessions", json!({})).await.ok());
    let path = format!("/v1/sessions/{session}/prompts");
    let answer = owner.post(&path, json!({ "prompt": "why?" })).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let id = id_of(&answer.body);
    CreatedPrompt { session, id, path: format!("{path}/{id}") }
}

/// Claims one prompt.
pub async fn claim(agent: &Caller) -> Value {
    let claimed = agent.post("/v1/prompts/claim", json!({})).await;
    assert_eq!(claimed.status, 200, "{claimed:?}");
    claimed.body[0].clone()
}

/// Publishes JSON, with the lease of the claim if there is one.
pub async fn publish(agent: &Caller, path: &str, claimed: &Value, body: Value) -> Answer {
    let request = agent.request(Method::POST, &format!("{path}/events"));
    let request = match claimed["lease_token"].as_str() {
        Some(token) => request.header("Lease-Token", token),
        None => request,
    };
    Caller::answer(request.json(&body)).await
}

/// A message with a number.
pub fn message(number: u64) -> Value {
    json!({ "kind": "message", "data": { "number": number } })
}

/// An event of this kind.
pub fn event(kind: &str) -> Value {
    json!({ "kind": kind, "data": {} })
}

pub async fn status(owner: &Caller, path: &str) -> Value {
    owner.get(path).await.ok()["status"].clone()
}

/// Reads all event pages of the prompt.
pub async fn events(owner: &Caller, path: &str) -> Vec<Value> {
    let mut events = Vec::new();
    let mut after = String::new();
    loop {
        let page = format!("{path}/events?limit=200&after={after}");
        let page = owner.get(&page).await.ok();
        events.extend(page["events"].as_array().cloned().expect("events"));
        page["next"].as_str().expect("a cursor").clone_into(&mut after);
        if page["has_more"] == false {
            return events;
        }
    }
}

pub fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["kind"].as_str().expect("a kind")).collect()
}

pub async fn watch(caller: &Caller, path: &str, query: &str) -> SseReader {
    caller.stream(&format!("{path}/stream?{query}"), "").await
}

/// Claims with this body. The list is empty if there is no work.
pub async fn claim_with(agent: &Caller, body: Value) -> Vec<Value> {
    let answer = agent.post("/v1/prompts/claim", body).await;
    answer.ok().as_array().cloned().expect("a list")
}

pub async fn give_back(agent: &Caller, path: &str, claimed: &Value) -> Answer {
    let lease = json!({ "lease_token": claimed["lease_token"] });
    agent.post(&format!("{path}/release"), lease).await
}

pub fn lines(events: &[Value]) -> String {
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    lines.join("\n") + "\n"
}
