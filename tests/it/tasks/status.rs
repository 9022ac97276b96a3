//! Every transition of a task, legal or not.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    App, Caller,
    task::{cancel, claim, create, owner_and_agent, report, send, shown},
};

/// A task in this status (`cancelling`: running with a requested cancellation), and its claim.
async fn task_with_status(owner: &Caller, agent: &Caller, status: &str) -> (Uuid, Value) {
    let skill = Uuid::new_v4().to_string();
    let id = create(owner, &skill).await;
    let mut claimed = json!({ "task": { "id": id }, "lease_token": Uuid::new_v4() });
    if status != "pending" {
        claimed = claim(agent, &skill).await;
    }
    if ["cancelling", "cancelled"].contains(&status) {
        cancel(owner, id).await.ok();
    }
    if ["completed", "failed", "cancelled"].contains(&status) {
        report(agent, &claimed, 1, status).await.ok();
    }
    (id, claimed)
}

/// Steps, and the status after each for a running task and for one with a requested cancellation.
const STEPS: [(&str, Option<&str>, Option<&str>); 7] = [
    ("heartbeat", Some("running"), Some("running")),
    ("running", Some("running"), Some("running")),
    ("completed", Some("completed"), Some("completed")),
    ("failed", Some("failed"), Some("failed")),
    ("cancelled", None, Some("cancelled")),
    ("release", Some("pending"), Some("cancelled")),
    ("cancel", Some("running"), Some("running")),
];

#[tokio::test]
async fn status_of_a_task_decides_which_steps_are_allowed() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    for status in ["pending", "running", "cancelling", "completed", "failed", "cancelled"] {
        for (step, running, cancelling) in STEPS {
            let expected = match (status, step) {
                ("running", _) => running,
                ("cancelling", _) => cancelling,
                ("pending" | "cancelled", "cancel") => Some("cancelled"),
                _ => None,
            };
            let (id, claimed) = task_with_status(&owner, &agent, status).await;
            let before = shown(&owner, id).await;
            let seq = if ["running", "cancelling"].contains(&status) { 1 } else { 2 };
            let answer = match step {
                "heartbeat" | "release" => send(&agent, &claimed, step, json!({})).await,
                "cancel" => cancel(&owner, id).await,
                _ => report(&agent, &claimed, seq, step).await,
            };
            let after = shown(&owner, id).await;
            let Some(expected) = expected else {
                answer.problem(409);
                assert_eq!(after, before, "{step} when {status}");
                continue;
            };
            let [task, _] = &after;
            assert_eq!(task["status"], expected, "{step} when {status}");
            let ended = !["pending", "running"].contains(&expected);
            assert_eq!(task["completed_at"].is_string(), ended, "{task}");
            if step == "heartbeat" {
                assert_eq!(answer.ok()["cancel_requested"], status == "cancelling");
            } else {
                assert_eq!(answer.ok(), *task, "{step} when {status}");
            }
            let is_new = step != "heartbeat"
                && !(step == "cancel" && ["cancelling", "cancelled"].contains(&status));
            assert_eq!(after != before, is_new, "{step} when {status}");
        }
    }
    app.finish().await;
}
