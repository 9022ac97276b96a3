//! Ended tasks are deleted.

use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::json;

use crate::support::{
    App,
    task::{claim, create, get, owner_and_agent, report, send},
    until,
};

#[tokio::test]
async fn ended_task_is_deleted_with_its_artifacts_and_events() {
    let app = App::with(|config| {
        config.retention.task_seconds = 1;
        config.retention.sweep_seconds = 1;
    })
    .await;
    let (owner, agent) = owner_and_agent(&app).await;
    let (ended, waiting) = (create(&owner, "a").await, create(&owner, "b").await);
    let claimed = claim(&agent, "a").await;
    let last = json!({
        "seq": 1, "status": "completed", "artifact": { "artifact_id": "a", "data": [1] },
    });
    send(&agent, &claimed, "report", last).await.ok();
    let path = format!("/v1/tasks/{ended}");
    until("deletion", async || owner.get(&path).await.status == 404).await;
    for part in ["/events", "/stream"] {
        owner.get(&format!("{path}{part}")).await.problem(404);
    }
    report(&agent, &claimed, 1, "completed").await.problem(404);
    let database = app.gateway.database.reader();
    assert_eq!(entity::artifact::Entity::find().count(database).await, Ok(0));
    let topics = entity::topic::Entity::find().all(database).await.expect("topics");
    let topics: Vec<_> = topics.into_iter().map(|topic| topic.name).collect();
    assert_eq!(topics, [format!("task.{waiting}")]);
    assert_eq!(get(&owner, waiting).await["status"], "pending");
    app.finish().await;
}
