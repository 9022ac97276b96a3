//! Work that requires a grant, and the tokens that workers get for it.

use entity::{Timestamp, oauth_grant, user::Role};
use reqwest::Method;
use sea_orm::{EntityTrait, prelude::Expr};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    Answer, App, Caller,
    auth::bearer,
    browser::{grant, link, parameter},
    id_of, prompt,
    provider::{INVALID_GRANT, TestProvider},
    task,
};

fn requiring() -> Value {
    json!({ "task_type": "a", "requires": ["github"] })
}

async fn token(worker: &Caller, claimed: &Value) -> Answer {
    let topic = format!("task.{}", id_of(&claimed["task"]));
    let body = json!({ "topic": topic, "lease_token": claimed["lease_token"] });
    worker.post("/v1/oauth/grants/github/token", body).await
}

/// Checks that the refusal leads to the page where the owner can link an account.
fn leads_to_the_page(answer: Answer) {
    let url = answer.body["authorization_url"].as_str().expect("a URL").parse().expect("a URL");
    assert!(parameter(&url, "request").parse::<Uuid>().is_ok(), "{url}");
    assert_eq!(answer.body["type"], "https://streamgate.dev/problems/authorization-required");
    answer.problem(401);
}

async fn owner_and_worker(app: &App) -> (Caller, Caller) {
    (app.caller(Role::Viewer).await, app.caller(Role::Agent).await)
}

#[tokio::test]
async fn work_that_requires_a_grant_leads_to_its_page() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let owner = app.caller(Role::Viewer).await;
    leads_to_the_page(owner.post("/v1/tasks", requiring()).await);
    let session = id_of(&owner.post("/v1/sessions", json!({})).await.ok());
    let prompts = format!("/v1/sessions/{session}/prompts");
    let prompt = json!({ "prompt": "Why?", "requires": ["github"] });
    leads_to_the_page(owner.post(&prompts, prompt.clone()).await);
    leads_to_the_page(owner.post("/v1/mcp-sessions", json!({ "requires": ["github"] })).await);
    let unknown = json!({ "task_type": "a", "requires": ["nothing"] });
    owner.post("/v1/tasks", unknown).await.problem(400);
    link(&app, &owner).await;
    let task = id_of(&owner.post("/v1/tasks", requiring()).await.ok());
    let prompt = id_of(&owner.post(&prompts, prompt).await.ok());
    let mcp = owner.post("/v1/mcp-sessions", json!({ "requires": ["github"] })).await.ok();
    let paths = [
        format!("/v1/tasks/{task}/stream"),
        format!("{prompts}/{prompt}/stream"),
        format!("/v1/mcp-sessions/{}/stream", id_of(&mcp)),
        format!("/v1/streams?topic=task.{task}"),
    ];
    for path in &paths {
        owner.stream(path, "").await.expect("snapshot").await;
    }
    app.slots_freed().await;
    owner.call(Method::DELETE, "/v1/oauth/grants/github", None).await.ok();
    for path in &paths {
        leads_to_the_page(owner.get(path).await);
    }
    // Reading is not watching, and other work needs no grant.
    owner.get(&format!("/v1/tasks/{task}")).await.ok();
    task::create(&owner, "b").await;
    app.finish().await;
}

#[tokio::test]
async fn worker_gets_the_token_of_the_owner_under_its_lease() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (owner, worker) = owner_and_worker(&app).await;
    link(&app, &owner).await;
    owner.post("/v1/tasks", requiring()).await.ok();
    let claimed = task::claim(&worker, "a").await;
    let given = token(&worker, &claimed).await.ok();
    assert_eq!(given["access_token"], provider.answers().issued[0]);
    let admin = app.log_in("admin").await;
    let events = admin.get("/v1/audit-events?kind=oauth.token_issued").await.ok();
    let event = &events["items"][0];
    assert_eq!(event["user_id"], json!(owner.id().await));
    assert_eq!(event["actor_id"], json!(worker.id().await));
    assert!(!events.to_string().contains(given["access_token"].as_str().expect("a token")));
    // Another lease token, a viewer, and work that has ended.
    let forged = json!({ "task": claimed["task"], "lease_token": Uuid::new_v4() });
    token(&worker, &forged).await.problem(409);
    token(&owner, &claimed).await.problem(403);
    task::report(&worker, &claimed, 1, "completed").await.ok();
    token(&worker, &claimed).await.problem(409);
    // Work that does not require the provider.
    task::create(&owner, "b").await;
    let other = task::claim(&worker, "b").await;
    let detail = token(&worker, &other).await.problem(403);
    assert_eq!(detail, "this work does not require this provider");
    app.finish().await;
}

#[tokio::test]
async fn only_configured_users_get_tokens() {
    let provider = TestProvider::start().await;
    let mut config = provider.config("github");
    config.token_users = vec!["trusted".to_owned(), "role:operator".to_owned()];
    let app = App::with(|all| {
        crate::support::provider::with_providers(all, vec![config]);
    })
    .await;
    let (owner, worker) = owner_and_worker(&app).await;
    link(&app, &owner).await;
    owner.post("/v1/tasks", requiring()).await.ok();
    let claimed = task::claim(&worker, "a").await;
    token(&worker, &claimed).await.problem(403);
    app.create_user("trusted", Role::Agent).await;
    token(&app.log_in("trusted").await, &claimed).await.ok();
    token(&app.caller(Role::Operator).await, &claimed).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn token_that_has_expired_is_refreshed_on_demand() {
    let provider = TestProvider::start().await;
    provider.answers().lifetime = 1;
    let app = provider.app().await;
    let (owner, worker) = owner_and_worker(&app).await;
    link(&app, &owner).await;
    owner.post("/v1/tasks", requiring()).await.ok();
    let claimed = task::claim(&worker, "a").await;
    crate::support::until("expiry", async || {
        grant(&owner).await["access_expires_at"].as_str().is_some_and(|end| {
            let format = &time::format_description::well_known::Rfc3339;
            time::OffsetDateTime::parse(end, format).expect("a time") < Timestamp::now().datetime()
        })
    })
    .await;
    provider.answers().lifetime = 3_600;
    // Many workers at once are one refresh.
    let answers = futures_util::future::join_all((0..10).map(|_| token(&worker, &claimed))).await;
    let newest = provider.answers().issued[2].clone();
    for answer in answers {
        assert_eq!(answer.ok()["access_token"], newest);
    }
    assert_eq!(provider.requests("refresh_token"), 1);
    app.finish().await;
}

#[tokio::test]
async fn worker_gets_a_token_for_a_prompt_under_its_lease() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (owner, worker) = owner_and_worker(&app).await;
    link(&app, &owner).await;
    let session = id_of(&owner.post("/v1/sessions", json!({})).await.ok());
    let path = format!("/v1/sessions/{session}/prompts");
    let new = json!({ "prompt": "why?", "requires": ["github"] });
    let id = id_of(&owner.post(&path, new).await.ok());
    let claimed = prompt::claim(&worker).await;
    let token = async |lease_token: &Value| {
        let body = json!({ "topic": format!("prompt.{id}"), "lease_token": lease_token });
        worker.post("/v1/oauth/grants/github/token", body).await
    };
    let given = token(&claimed["lease_token"]).await.ok();
    assert_eq!(given["access_token"], provider.answers().issued[0]);
    token(&json!(Uuid::new_v4())).await.problem(409);
    let path = format!("{path}/{id}");
    prompt::publish(&worker, &path, &claimed, prompt::event("complete")).await.ok();
    token(&claimed["lease_token"]).await.problem(409);
    app.finish().await;
}

#[tokio::test]
async fn token_of_an_ended_grant_is_not_handed_out() {
    let provider = TestProvider::start().await;
    provider.answers().lifetime = 1;
    let app = provider.app().await;
    let (owner, worker) = owner_and_worker(&app).await;
    link(&app, &owner).await;
    owner.post("/v1/tasks", requiring()).await.ok();
    let claimed = task::claim(&worker, "a").await;
    provider.answers().refusal = Some(INVALID_GRANT);
    crate::support::until("the end", async || {
        token(&worker, &claimed).await;
        grant(&owner).await["status"] == "expired"
    })
    .await;
    let detail = token(&worker, &claimed).await.problem(409);
    assert_eq!(detail, "the owner has no valid grant at this provider");
    assert_eq!(provider.requests("refresh_token"), 1);
    app.finish().await;
}

#[tokio::test]
async fn grant_without_a_refresh_token_ends_with_its_access_token() {
    let provider = TestProvider::start().await;
    {
        let mut answers = provider.answers();
        (answers.without_refresh, answers.lifetime) = (true, 2);
    }
    let app = provider.app().await;
    let (owner, worker) = owner_and_worker(&app).await;
    link(&app, &owner).await;
    owner.post("/v1/tasks", requiring()).await.ok();
    let claimed = task::claim(&worker, "a").await;
    token(&worker, &claimed).await.ok();
    crate::support::until("the end", async || {
        owner.post("/v1/tasks", requiring()).await.status == 401
    })
    .await;
    token(&worker, &claimed).await.problem(409);
    assert_eq!(provider.requests("refresh_token"), 0);
    app.finish().await;
}

#[tokio::test]
async fn valid_token_is_handed_out_during_an_outage() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (owner, worker) = owner_and_worker(&app).await;
    link(&app, &owner).await;
    owner.post("/v1/tasks", requiring()).await.ok();
    let claimed = task::claim(&worker, "a").await;
    oauth_grant::Entity::update_many()
        .col_expr(oauth_grant::Column::RefreshAt, Expr::value(Timestamp::now()))
        .exec(app.gateway.database.writer())
        .await
        .expect("an update");
    provider.answers().failures = 1;
    let given = token(&worker, &claimed).await.ok();
    assert_eq!(given["access_token"], provider.answers().issued[0]);
    assert_eq!(provider.requests("refresh_token"), 1);
    app.finish().await;
}

#[tokio::test]
async fn token_needs_the_family_and_an_enabled_owner() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (owner, worker) = owner_and_worker(&app).await;
    link(&app, &owner).await;
    owner.post("/v1/tasks", requiring()).await.ok();
    let claimed = task::claim(&worker, "a").await;
    for (family, status) in [("topology", 403), ("task", 200)] {
        let new = json!({ "name": "k", "families": [family] });
        let key = worker.post("/v1/api-keys", new).await.ok();
        let key = bearer(&app, key["key"].as_str().expect("a key"));
        assert_eq!(token(&key, &claimed).await.status, status, "{family}");
    }
    let path = format!("/v1/users/{}", owner.id().await);
    let admin = app.log_in("admin").await;
    admin.call(Method::PATCH, &path, Some(json!({ "disabled": true }))).await.ok();
    assert_eq!(token(&worker, &claimed).await.problem(409), "the owner is disabled");
    app.finish().await;
}
