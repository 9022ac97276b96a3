//! Creates, claims, reports and cancels tasks.

use entity::{Timestamp, user::Role};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, prelude::Expr};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    app::App,
    caller::{Answer, Caller, id_of},
    sse::SseReader,
    waiting::until,
};

/// Creates a task of this type.
pub async fn create(owner: &Caller, task_type: &str) -> Uuid {
    let new = json!({ "task_type": task_type, "input": { "number": 7 } });
    id_of(&owner.post("/v1/tasks", new).await.ok())
}

/// Claims one task of this type. Returns null if none is pending.
pub async fn claim(agent: &Caller, skill: &str) -> Value {
    let answer = agent.post("/v1/tasks/claim", json!({ "skills": [skill] })).await;
    answer.ok().get_mut(0).map_or(Value::Null, Value::take)
}

/// Sends a worker's request (`heartbeat`, `report` or `release`) for its task.
pub async fn send(agent: &Caller, claimed: &Value, what: &str, mut body: Value) -> Answer {
    body["lease_token"] = claimed["lease_token"].clone();
    agent.post(&format!("/v1/tasks/{}/{what}", id_of(&claimed["task"])), body).await
}

pub async fn report(agent: &Caller, claimed: &Value, seq: u64, status: &str) -> Answer {
    send(agent, claimed, "report", json!({ "seq": seq, "status": status })).await
}

pub async fn get(caller: &Caller, id: Uuid) -> Value {
    caller.get(&format!("/v1/tasks/{id}")).await.ok()
}

pub async fn cancel(caller: &Caller, id: Uuid) -> Answer {
    caller.post(&format!("/v1/tasks/{id}/cancel"), json!({})).await
}

pub async fn watch(caller: &Caller, id: Uuid, query: &str) -> SseReader {
    caller.stream(&format!("/v1/tasks/{id}/stream?{query}"), "").await
}

/// Everything that REST returns for a task.
pub async fn shown(caller: &Caller, id: Uuid) -> [Value; 2] {
    let events = caller.get(&format!("/v1/tasks/{id}/events?limit=200")).await.ok();
    [get(caller, id).await, events]
}

/// Makes the lease of a task expire.
pub async fn run_out(app: &App, id: Uuid) {
    use entity::task::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::LeaseExpiresAt, Expr::value(Timestamp(Timestamp::now().0 - 1)))
        .filter(Column::Id.eq(id))
        .filter(Column::LeaseExpiresAt.is_not_null())
        .exec(app.gateway.database.writer())
        .await
        .expect("an update");
}

/// Makes the lease of a task expire, and waits until the gateway has noticed. Returns the task.
pub async fn expire(app: &App, owner: &Caller, id: Uuid) -> Value {
    let before = get(owner, id).await;
    run_out(app, id).await;
    app.look_for_expired_leases();
    until("end of the lease", async || get(owner, id).await != before).await;
    get(owner, id).await
}

/// Creates an owner and an agent.
pub async fn owner_and_agent(app: &App) -> (Caller, Caller) {
    (app.caller(Role::Viewer).await, app.caller(Role::Agent).await)
}
