//! Topologies in every status, and their REST responses.

use entity::user::Role;
use serde_json::{Value, json};
use streamgate::config::Config;
use uuid::Uuid;

use crate::support::{
    app::App,
    caller::{Caller, id_of},
};

/// Starts a gateway with many slots. Returns the gateway, an operator, and a topology that accepts mutations.
pub async fn app_with_topology(change: impl FnOnce(&mut Config)) -> (App, Caller, Uuid) {
    let app = App::with(|config| {
        config.limits.streams_per_user = 10_000;
        change(config);
    })
    .await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    (app, operator, topology)
}

/// Creates an operator and a topology that accepts mutations.
pub async fn operator_with_topology(app: &App) -> (Caller, Uuid) {
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    (operator, topology)
}

/// The legal transitions of a topology.
pub const LIFE: [(&str, &[&str]); 7] = [
    ("pending", &["deploying", "torn_down"]),
    ("deploying", &["active", "failed", "degraded", "tearing_down"]),
    ("active", &["degraded", "tearing_down"]),
    ("degraded", &["active", "tearing_down"]),
    ("failed", &["tearing_down"]),
    ("tearing_down", &["torn_down", "degraded"]),
    ("torn_down", &[]),
];

/// Creates a topology in this status.
pub async fn topology_with_status(operator: &Caller, status: &str) -> Uuid {
    let way: &[&str] = match status {
        "pending" => &[],
        "deploying" => &["deploying"],
        "active" => &["deploying", "active"],
        "degraded" => &["deploying", "degraded"],
        "failed" => &["deploying", "failed"],
        "tearing_down" => &["deploying", "tearing_down"],
        "torn_down" => &["torn_down"],
        _ => panic!("{status}"),
    };
    let new = json!({ "name": format!("t-{}", Uuid::new_v4()) });
    let id = id_of(&operator.post("/v1/topologies", new).await.ok());
    for step in way {
        operator.set_status(id, step).await.ok();
    }
    id
}

/// Everything that REST returns for a topology.
pub async fn shown(caller: &Caller, id: Uuid) -> Vec<Value> {
    let mut shown = Vec::new();
    for part in ["", "/transitions", "/mutations?limit=200", "/events?limit=200"] {
        shown.push(caller.get(&format!("/v1/topologies/{id}{part}")).await.ok());
    }
    shown
}

/// The objects of a page.
#[track_caller]
pub fn items(page: &Value) -> &[Value] {
    page["items"].as_array().unwrap_or_else(|| panic!("no page: {page}"))
}
