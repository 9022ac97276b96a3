//! Ended prompts are deleted.

use entity::prompt;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::Value;

use crate::support::{
    App,
    prompt::{create, event, message, owner_and_agent, publish, watch},
    until,
};

#[tokio::test]
async fn ended_prompts_are_deleted_and_their_sessions_stay() {
    let app = App::with(|config| {
        config.retention.prompt_seconds = 1;
        config.retention.sweep_seconds = 1;
    })
    .await;
    let (owner, agent) = owner_and_agent(&app).await;
    let ended = create(&owner).await;
    publish(&agent, &ended.path, &Value::Null, event("complete")).await.ok();
    let running = create(&owner).await;
    for number in 1..=2 {
        publish(&agent, &running.path, &Value::Null, message(number)).await.ok();
    }
    until("deletion", async || owner.get(&ended.path).await.status == 404).await;
    owner.get(&format!("{}/events", ended.path)).await.problem(404);
    owner.get(&format!("/v1/sessions/{}", ended.session)).await.ok();
    // The first event is pruned, and the snapshot says that there were earlier ones. The prompt
    // does not count as idle, although all its events are old.
    until("pruning", async || {
        let snapshot = watch(&owner, &running.path, "").await.expect("snapshot").await.data;
        assert_eq!(snapshot["prompt"]["status"], "processing");
        let events = snapshot["events"].as_array().expect("events");
        events.len() == 1 && snapshot["earlier"] == true
    })
    .await;
    let rows = prompt::Entity::find().count(app.gateway.database.reader()).await;
    assert_eq!(rows.expect("a count"), 1);
    app.finish().await;
}
