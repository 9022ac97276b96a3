//! Expired leases of prompts, and agents that publish late.

use entity::{Timestamp, prompt};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel};
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App, id_of,
    prompt::{claim, claim_with, create, event, message, owner_and_agent, publish, status, watch},
    until,
};

/// Makes a prompt's lease expire.
async fn expire(app: &App, id: Uuid) {
    let writer = app.gateway.database.writer();
    let row = prompt::Entity::find_by_id(id).one(writer).await.expect("a row").expect("a row");
    let mut change = row.into_active_model();
    change.lease_expires_at = Set(Some(Timestamp(Timestamp::now().0 - 1)));
    change.update(writer).await.expect("an update");
}

#[tokio::test]
async fn expired_lease_queues_a_prompt_unless_it_has_events() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 1).await;
    let (owner, agent) = owner_and_agent(&app).await;
    let (silent, begun, ended) = (create(&owner).await, create(&owner).await, create(&owner).await);
    let claimed = [claim(&agent).await, claim(&agent).await, claim(&agent).await];
    let mut reader = watch(&owner, &begun.path, "").await;
    reader.expect("snapshot").await;
    publish(&agent, &begun.path, &claimed[1], message(1)).await.ok();
    publish(&agent, &ended.path, &claimed[2], event("complete")).await.ok();
    reader.expect("message").await;
    for (created, claimed) in [(&silent, &claimed[0]), (&begun, &claimed[1])] {
        expire(&app, created.id).await;
        // The lease is refused even before the gateway notices that it has expired.
        publish(&agent, &created.path, claimed, message(2)).await.problem(409);
    }
    let error = reader.expect("error").await;
    assert!(error.id.is_some() && error.data["message"].is_string(), "{}", error.text);
    reader.expect("stream.closed").await;
    reader.expect_end().await;
    until("queued", async || status(&owner, &silent.path).await == "queued").await;
    assert_eq!(status(&owner, &begun.path).await, "failed");
    assert_eq!(status(&owner, &ended.path).await, "completed");
    publish(&agent, &silent.path, &claimed[0], message(2)).await.problem(409);
    let again = claim(&agent).await;
    assert_eq!((id_of(&again["prompt"]), &again["attempt"]), (silent.id, &json!(2)));
    publish(&agent, &silent.path, &claimed[0], message(2)).await.problem(409);
    publish(&agent, &silent.path, &again, event("complete")).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn leases_expire_unless_they_are_renewed() {
    // No heartbeat looks at leases during this test.
    let app = App::with(|config| config.streams.heartbeat_seconds = 60).await;
    let (owner, agent) = owner_and_agent(&app).await;
    let (lost, kept, talked) = (create(&owner).await, create(&owner).await, create(&owner).await);
    // The shortest lease is not the first.
    let mut claimed = Vec::new();
    for seconds in [4, 3, 3] {
        claimed.extend(claim_with(&agent, json!({ "lease_seconds": seconds })).await);
    }
    let mut reader = watch(&owner, &lost.path, "").await;
    reader.expect("snapshot").await;
    // Two agents that renew or publish until the third prompt is queued again.
    let keep = async {
        loop {
            let lease = json!({ "lease_token": claimed[1]["lease_token"] });
            let kept = agent.post(&format!("{}/heartbeat", kept.path), lease).await.ok();
            assert!(kept["lease_expires_at"].as_str() > claimed[1]["lease_expires_at"].as_str());
            publish(&agent, &talked.path, &claimed[2], message(1)).await.ok();
        }
    };
    tokio::select! {
        () = keep => {}
        change = reader.expect("status") => assert_eq!(change.data["status"], "queued"),
    }
    for (created, claimed) in [(&kept, &claimed[1]), (&talked, &claimed[2])] {
        publish(&agent, &created.path, claimed, event("complete")).await.ok();
    }
    drop(reader);
    app.finish().await;
}
