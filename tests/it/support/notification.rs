//! A user with notifications, and an agent that sends them.

use entity::user::Role;
use serde_json::{Value, json};

use crate::support::{app::App, caller::Caller};

/// A user, an agent, and the path of the user's notifications.
pub async fn user_and_agent(app: &App) -> (Caller, Caller, String) {
    let (user, agent) = (app.caller(Role::Viewer).await, app.caller(Role::Agent).await);
    let path = format!("/v1/users/{}/notifications", user.id().await);
    (user, agent, path)
}

/// Creates a notification with this number.
pub async fn notify(agent: &Caller, path: &str, number: u64) -> Value {
    let new = json!({
        "kind": "report.ready",
        "message": format!("Report {number} is ready."),
        "data": { "number": number },
    });
    agent.post(path, new).await.ok()
}
