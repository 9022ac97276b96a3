//! Every transition of a prompt, legal or not.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    App, Caller,
    prompt::{
        CreatedPrompt, claim, create, event, events, kinds, message, owner_and_agent, publish,
    },
};

/// A prompt in this stage, and its claim, if it has one.
async fn prompt_with_status(owner: &Caller, agent: &Caller, stage: &str) -> (CreatedPrompt, Value) {
    let created = create(owner).await;
    let claimed = match stage {
        "queued" => return (created, Value::Null),
        "open" => Value::Null,
        _ => claim(agent).await,
    };
    let end = match stage {
        "open" | "begun" => message(0),
        "completed" => event("complete"),
        "failed" => event("error"),
        "cancelled" => event("cancelled"),
        _ => return (created, claimed),
    };
    assert_eq!(publish(agent, &created.path, &claimed, end).await.status, 201);
    (created, claimed)
}

/// The table has the status after each step in each stage, or 409 if the step is refused.
#[tokio::test]
async fn status_of_a_prompt_decides_which_steps_are_allowed() {
    const NO: &str = "409";
    // Stages: no event; an event without a claim; a claim; a claim with an event; three terminal
    // statuses.
    const STEPS: [(&str, [&str; 7]); 7] = [
        ("message", ["processing", "processing", "processing", "processing", NO, NO, NO]),
        ("complete", ["completed", "completed", "completed", "completed", NO, NO, NO]),
        ("cancelled", ["cancelled", "cancelled", "cancelled", "cancelled", NO, NO, NO]),
        ("error", ["failed", "failed", "failed", "failed", NO, NO, NO]),
        ("cancel", ["cancelled", "cancelled", "cancelled", "cancelled", NO, NO, "cancelled"]),
        ("heartbeat", [NO, NO, "processing", "processing", NO, NO, NO]),
        ("release", [NO, NO, "queued", NO, NO, NO, NO]),
    ];
    const STAGES: [&str; 7] =
        ["queued", "open", "claimed", "begun", "completed", "failed", "cancelled"];
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    for (step, expected) in STEPS {
        for (stage, expected) in STAGES.into_iter().zip(expected) {
            let (created, claimed) = prompt_with_status(&owner, &agent, stage).await;
            let path = &created.path;
            let before = (owner.get(path).await.ok(), events(&owner, path).await);
            let token = claimed["lease_token"]
                .as_str()
                .map_or_else(Uuid::new_v4, |token| token.parse().expect("a token"));
            let lease = json!({ "lease_token": token });
            let answer = match step {
                "cancel" => owner.call(Method::POST, &format!("{path}/cancel"), None).await,
                "heartbeat" | "release" => agent.post(&format!("{path}/{step}"), lease).await,
                kind => publish(&agent, path, &claimed, event(kind)).await,
            };
            let now = (owner.get(path).await.ok(), events(&owner, path).await);
            // Ends the prompt, so that the next claim gets the next prompt.
            owner.call(Method::POST, &format!("{path}/cancel"), None).await;
            if expected == NO {
                answer.problem(409);
                assert_eq!(now, before, "{step} when {stage}");
                continue;
            }
            let body = answer.ok();
            assert_eq!(now.0["status"], expected, "{step} when {stage}: {body}");
            let ended = ["completed", "failed", "cancelled"].contains(&expected);
            assert_eq!(now.0["completed_at"].is_string(), ended, "{step} when {stage}");
            let new = &now.1[before.1.len()..];
            let told = match step {
                "heartbeat" => vec![],
                "cancel" if stage == "cancelled" => vec![],
                "cancel" => vec!["cancelled"],
                "release" => vec!["status"],
                kind => vec![kind],
            };
            assert_eq!(kinds(new), told, "{step} when {stage}");
        }
        assert_eq!(agent.post("/v1/prompts/claim", json!({})).await.ok(), json!([]), "{step}");
    }
    app.finish().await;
}
