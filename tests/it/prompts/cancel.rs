//! `POST .../prompts/{pid}/cancel`.

use reqwest::Method;
use serde_json::json;

use crate::support::{
    App,
    prompt::{claim, create, event, events, kinds, owner_and_agent, publish, watch},
};

#[tokio::test]
async fn cancelled_prompt_refuses_everything_from_its_agent() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let created = create(&owner).await;
    let claimed = claim(&agent).await;
    let mut reader = watch(&owner, &created.path, "").await;
    reader.expect("snapshot").await;
    let cancel = format!("{}/cancel", created.path);
    agent.call(Method::POST, &cancel, None).await.problem(404);
    let first = owner.call(Method::POST, &cancel, None).await.ok();
    assert_eq!(first["status"], "cancelled");
    assert_eq!(owner.call(Method::POST, &cancel, None).await.ok(), first);
    for kind in ["message", "complete", "cancelled"] {
        publish(&agent, &created.path, &claimed, event(kind)).await.problem(409);
    }
    let lease = json!({ "lease_token": claimed["lease_token"] });
    for what in ["heartbeat", "release"] {
        agent.post(&format!("{}/{what}", created.path), lease.clone()).await.problem(409);
    }
    reader.expect("cancelled").await;
    assert_eq!(reader.expect("stream.closed").await.data["reason"], "completed");
    reader.expect_end().await;
    assert_eq!(kinds(&events(&owner, &created.path).await), ["status", "cancelled"]);
    app.finish().await;
}
