//! Enqueues, claims and reports mutations.

use entity::user::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    app::App,
    caller::{Answer, Caller, id_of},
    sse::SseReader,
    topology::topology_with_status,
};

/// An operator, an agent and the path of a topology's mutations.
pub async fn topology_with_workers(app: &App, status: &str) -> (Caller, Caller, Uuid, String) {
    let (operator, agent) = (app.caller(Role::Operator).await, app.caller(Role::Agent).await);
    let id = topology_with_status(&operator, status).await;
    (operator, agent, id, format!("/v1/topologies/{id}/mutations"))
}

/// Claims up to `max` mutations. The list is empty if there is no work.
pub async fn claim(agent: &Caller, path: &str, max: u64) -> Vec<Value> {
    let answer = agent.post(&format!("{path}/claim"), json!({ "max": max })).await;
    let claimed = answer.ok().as_array().cloned().expect("a list");
    assert!(claimed.len() as u64 <= max, "{claimed:?}");
    claimed
}

pub async fn report(agent: &Caller, path: &str, claimed: &Value, state: &str) -> Answer {
    let path = format!("{path}/{}/report", id_of(&claimed["mutation"]));
    agent.post(&path, json!({ "lease_token": claimed["lease_token"], "state": state })).await
}

pub fn numbers(mutations: &[Value]) -> Vec<u64> {
    let number = |mutation: &Value| {
        let mutation = mutation.get("mutation").unwrap_or(mutation);
        mutation["payload"]["number"].as_u64().expect("a number")
    };
    mutations.iter().map(number).collect()
}

/// The number in the payload of a `mutation.enqueued`.
pub fn number(data: &Value) -> u64 {
    data["payload"]["number"].as_u64().unwrap_or_else(|| panic!("no number: {data}"))
}

pub async fn expect_numbers(reader: &mut SseReader, numbers: impl IntoIterator<Item = u64>) {
    for expected in numbers {
        let block = reader.expect("mutation.enqueued").await;
        assert_eq!(number(&block.data), expected);
    }
}
