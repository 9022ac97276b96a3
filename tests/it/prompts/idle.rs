//! Prompts that are answered without a claim fail after the idle timeout.

use entity::{Timestamp, prompt};
use sea_orm::{EntityTrait, sea_query::Expr};
use serde_json::Value;

use crate::support::{
    App,
    prompt::{
        CreatedPrompt, claim, create, event, message, owner_and_agent, publish, status, watch,
    },
    until,
};

#[tokio::test]
async fn unclaimed_prompt_fails_after_its_idle_timeout() {
    let app = App::with(|config| {
        config.prompts.idle_seconds = 1;
        config.retention.sweep_seconds = 1;
    })
    .await;
    let (owner, agent) = owner_and_agent(&app).await;
    let claimed = create(&owner).await;
    claim(&agent).await;
    let (queued, silent) = (create(&owner).await, create(&owner).await);
    let mut reader = watch(&owner, &silent.path, "").await;
    reader.expect("snapshot").await;
    publish(&agent, &silent.path, &Value::Null, message(1)).await.ok();
    assert_eq!(status(&owner, &silent.path).await, "processing");
    reader.expect("message").await;
    let error = reader.expect("error").await;
    let message_of = error.data["message"].as_str().expect("a message");
    assert!(message_of.contains("published no further event"), "{message_of}");
    reader.expect("stream.closed").await;
    reader.expect_end().await;
    assert_eq!(status(&owner, &silent.path).await, "failed");
    publish(&agent, &silent.path, &Value::Null, message(2)).await.problem(409);
    // The first prompt is queued, and the second has a lease.
    assert_eq!(status(&owner, &queued.path).await, "queued");
    assert_eq!(status(&owner, &claimed.path).await, "processing");
    app.finish().await;
}

#[tokio::test]
async fn prompt_with_a_new_event_does_not_fail_as_idle() {
    let app = App::with(|config| config.retention.sweep_seconds = 1).await;
    let (owner, agent) = owner_and_agent(&app).await;
    let mut created = Vec::new();
    for _ in 0..60 {
        created.push(create(&owner).await);
    }
    for created in &created {
        publish(&agent, &created.path, &Value::Null, message(1)).await.ok();
    }
    let writer = app.gateway.database.writer();
    let long_ago = entity::event::Entity::update_many()
        .col_expr(entity::event::Column::At, Expr::value(Timestamp(0)));
    long_ago.exec(writer).await.expect("an update");
    let begun = prompt::Entity::update_many()
        .col_expr(prompt::Column::UpdatedAt, Expr::value(Timestamp(0)));
    begun.exec(writer).await.expect("an update");
    let [first, .., before_last, last] = created.as_slice() else { panic!("no prompts") };
    let is_failed = async |created: &CreatedPrompt| status(&owner, &created.path).await == "failed";
    until("end of the first prompt", async || is_failed(first).await).await;
    publish(&agent, &last.path, &Value::Null, message(2)).await.ok();
    assert!(!is_failed(before_last).await, "the sweep had passed before the event");
    until("end of the prompt before the last", async || is_failed(before_last).await).await;
    // By now the sweep has passed the last prompt.
    publish(&agent, &last.path, &Value::Null, event("complete")).await.ok();
    assert_eq!(status(&owner, &last.path).await, "completed");
    app.finish().await;
}
