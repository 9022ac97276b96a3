//! `POST /v1/sessions` and `POST /v1/sessions/{sid}/prompts`.

use entity::prompt;
use reqwest::Method;
use sea_orm::{EntityTrait, IntoActiveModel};
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App,
    prompt::{create, owner_and_agent},
};

#[tokio::test]
async fn invalid_prompts_and_prompts_over_the_limit_are_refused() {
    let app = App::start().await;
    let (owner, _) = owner_and_agent(&app).await;
    let created = create(&owner).await;
    let path = format!("/v1/sessions/{}/prompts", created.session);
    let long = |bytes: usize| json!({ "prompt": "é".repeat(bytes / 2) });
    for body in [json!({}), json!({ "prompt": "" }), json!({ "prompt": 5 }), long(65_538)] {
        owner.post(&path, body).await.problem(400);
    }
    owner.post("/v1/sessions", json!({ "name": "a\nb" })).await.problem(400);
    owner.post("/v1/sessions", json!({ "title": "a" })).await.problem(400);
    let named = owner.post("/v1/sessions", json!({ "name": "moving" })).await.ok();
    assert_eq!(named["name"], "moving");
    assert_eq!(owner.post(&path, long(65_536)).await.status, 201);
    let writer = app.gateway.database.writer();
    let row =
        prompt::Entity::find_by_id(created.id).one(writer).await.expect("a row").expect("a row");
    let many = (2..1_000).map(|_| {
        let row = prompt::Model { id: Uuid::now_v7(), ..row.clone() };
        row.into_active_model()
    });
    let many: Vec<_> = many.collect();
    for some in many.chunks(100) {
        prompt::Entity::insert_many(some.to_vec()).exec(writer).await.expect("rows");
    }
    owner.post(&path, json!({ "prompt": "x" })).await.problem(409);
    owner.call(Method::POST, &format!("{}/cancel", created.path), None).await.ok();
    assert_eq!(owner.post(&path, json!({ "prompt": "x" })).await.status, 201);
    owner.post(&path, json!({ "prompt": "x" })).await.problem(409);
    app.finish().await;
}
