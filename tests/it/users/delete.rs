//! `DELETE /v1/users/{id}`: everything that belongs to the user ends and is deleted.

use entity::{conversation, mcp_session, prompt, task, topic};
use reqwest::Method;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};

use crate::support::{
    App, id_of, prompt as prompts,
    prompt::{event, events, publish, status},
    task::{claim, create, get, owner_and_agent, report, watch},
    until,
};

#[tokio::test]
async fn deleting_a_user_ends_their_tasks_prompts_and_sessions() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let ((owner, agent), other) = (owner_and_agent(&app).await, owner_and_agent(&app).await.0);
    let running = create(&owner, "x").await;
    let claimed = claim(&agent, "x").await;
    let (pending, others) = (create(&owner, "x").await, create(&other, "x").await);
    let processing = prompts::create(&owner).await;
    let answering = prompts::claim(&agent).await;
    let (queued, done) = (prompts::create(&owner).await, prompts::create(&owner).await);
    publish(&agent, &done.path, &Value::Null, event("complete")).await.ok();
    let empty = id_of(&owner.post("/v1/sessions", json!({})).await.ok());
    let mcp = id_of(&owner.post("/v1/mcp-sessions", json!({})).await.ok());
    let mcp = format!("/v1/mcp-sessions/{mcp}");
    let mut reader = watch(&admin, running, "").await;
    reader.expect("snapshot").await;

    let user = format!("/v1/users/{}", owner.id().await);
    admin.call(Method::DELETE, &user, None).await.ok();
    assert_eq!(reader.expect("task.status").await.data["status"], "cancelled");
    assert_eq!(reader.expect("stream.closed").await.data["reason"], "completed");
    reader.expect_end().await;
    for task in [running, pending] {
        assert_eq!(get(&admin, task).await["status"], "cancelled");
    }
    report(&agent, &claimed, 1, "completed").await.problem(409);
    for created in [&processing, &queued] {
        assert_eq!(status(&admin, &created.path).await, "cancelled");
        let told = events(&admin, &created.path).await;
        assert_eq!(told.last().expect("an event")["kind"], "cancelled");
    }
    publish(&agent, &processing.path, &answering, event("message")).await.problem(409);
    assert_eq!(status(&admin, &done.path).await, "completed");
    assert_eq!(admin.get(&mcp).await.ok()["status"], "closed");
    let page = admin.get(&format!("{mcp}/events")).await.ok();
    assert_eq!(page["events"][0]["data"]["reason"], "deleted");
    // Conversations with prompts are kept until the prompts are deleted.
    admin.get(&format!("/v1/sessions/{empty}")).await.problem(404);
    admin.get(&format!("/v1/sessions/{}", done.session)).await.ok();
    assert_eq!(get(&admin, others).await["status"], "pending");
    app.finish().await;
}

/// Simulates a process that ends right after it deleted the user.
#[tokio::test]
async fn rows_of_a_deleted_user_are_eventually_deleted() {
    let app = App::with(|config| {
        config.retention.task_seconds = 1;
        config.retention.prompt_seconds = 1;
        config.retention.mcp_session_seconds = 1;
        config.retention.sweep_seconds = 1;
    })
    .await;
    let (owner, _) = owner_and_agent(&app).await;
    let id = owner.id().await;
    create(&owner, "x").await;
    prompts::create(&owner).await;
    owner.post("/v1/mcp-sessions", json!({})).await.ok();
    owner.get(&format!("/v1/users/{id}/notifications")).await.ok();
    let reader = app.gateway.database.reader();
    assert_eq!(topic::Entity::find().count(reader).await.expect("a count"), 4);
    app.gateway.users.delete(id).await.expect("a deletion");
    until("deletion of the user's rows", async || {
        let counts = tokio::join!(
            topic::Entity::find().count(reader),
            task::Entity::find().count(reader),
            prompt::Entity::find().count(reader),
            conversation::Entity::find().count(reader),
            mcp_session::Entity::find().count(reader),
        );
        matches!(counts, (Ok(0), Ok(0), Ok(0), Ok(0), Ok(0)))
    })
    .await;
    app.finish().await;
}
