//! The access of each role to its own resources and to those of other users. The tests cover every
//! family and every operation on a topic.

use entity::user::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{App, Caller, id_of, tunnel::TunnelClient};

/// The statuses that a user of this role gets: for its own resource, and for another user's.
const ACCESS: [(&str, Role, u16, u16); 24] = [
    ("topology", Role::Viewer, 200, 200),
    ("topology", Role::Agent, 200, 200),
    ("topology", Role::Operator, 200, 200),
    ("topology", Role::Admin, 200, 200),
    ("notification", Role::Viewer, 200, 403),
    ("notification", Role::Agent, 200, 403),
    ("notification", Role::Operator, 200, 403),
    ("notification", Role::Admin, 200, 403),
    ("task", Role::Viewer, 200, 404),
    ("task", Role::Agent, 200, 404),
    ("task", Role::Operator, 200, 404),
    ("task", Role::Admin, 200, 200),
    ("prompt", Role::Viewer, 200, 404),
    ("prompt", Role::Agent, 200, 404),
    ("prompt", Role::Operator, 200, 404),
    ("prompt", Role::Admin, 200, 200),
    ("mcp_session", Role::Viewer, 200, 404),
    ("mcp_session", Role::Agent, 200, 404),
    ("mcp_session", Role::Operator, 200, 404),
    ("mcp_session", Role::Admin, 200, 200),
    ("tunnel", Role::Viewer, 200, 404),
    ("tunnel", Role::Agent, 200, 404),
    ("tunnel", Role::Operator, 200, 404),
    ("tunnel", Role::Admin, 200, 200),
];

/// Creates a resource of this family for its owner. Returns its id and its path.
pub async fn make(app: &App, family: &str, owner: &Caller) -> (Uuid, String) {
    let make = async |path: &str, new: Value| {
        let id = id_of(&owner.post(path, new).await.ok());
        (id, format!("{path}/{id}"))
    };
    match family {
        // Topologies have no owner, and only operators may create them.
        "topology" => {
            let id = app.active_topology(&app.caller(Role::Operator).await).await;
            (id, format!("/v1/topologies/{id}"))
        }
        "notification" => {
            let id = owner.id().await;
            (id, format!("/v1/users/{id}/notifications"))
        }
        "task" => make("/v1/tasks", json!({ "task_type": "demo" })).await,
        "prompt" => {
            let (_, session) = make("/v1/sessions", json!({})).await;
            make(&format!("{session}/prompts"), json!({ "prompt": "Why?" })).await
        }
        "mcp_session" => make("/v1/mcp-sessions", json!({})).await,
        "tunnel" => {
            let client = TunnelClient::legacy(owner, "access").await;
            (client.id, format!("/reverse-proxy/sessions/{}", client.id))
        }
        _ => panic!("{family}"),
    }
}

#[tokio::test]
async fn every_operation_on_a_topic_has_the_same_access_rule() {
    let app = App::with(|config| config.limits.streams_per_user = 100).await;
    let stranger = app.caller(Role::Viewer).await;
    let mut faults = Vec::new();
    for (family, role, own, other) in ACCESS {
        let caller = app.caller(role).await;
        for (owner, status) in [(&caller, own), (&stranger, other)] {
            let (id, path) = make(&app, family, owner).await;
            let topic = format!("{family}.{id}");
            let stream = match family {
                "tunnel" => format!("/reverse-proxy/sse/{id}"),
                _ => format!("{path}/stream"),
            };
            for way in [
                path.clone(),
                format!("{path}/events"),
                format!("{stream}?max_events=1"),
                format!("/v1/streams?topic={topic}&max_events=1"),
            ] {
                let answer = caller.get(&way).await;
                if answer.status != status {
                    faults.push(format!("{role:?} {way}: {} for {status}", answer.status));
                }
            }
            let created = if status == 200 { 201 } else { status };
            for wanted in [json!({ "family": family, "id": id }), json!({ "topics": [topic] })] {
                let minted = caller.post("/v1/stream-tokens", wanted.clone()).await;
                if minted.status != created {
                    faults.push(format!("{role:?} {wanted}: {} for {created}", minted.status));
                }
                if let Some(url) = minted.body["url"].as_str() {
                    let mut reader = app.anyone().stream(&format!("{url}&max_events=1"), "").await;
                    reader.expect("snapshot").await;
                    reader.expect_end().await;
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    app.finish().await;
}
