//! Refreshes in the background.

use std::sync::Arc;

use entity::user::Role;
use serde_json::json;
use streamgate::bus::InProcessBus;
use uuid::Uuid;

use crate::support::{
    App, Caller, SseReader, Store,
    browser::{grant, link, notifications},
    id_of,
    provider::{INVALID_GRANT, TestProvider, with_providers},
    task, until,
};

/// Opens a stream of a new task of the caller.
async fn watch(caller: &Caller) -> SseReader {
    let task: Uuid = task::create(caller, "a").await;
    let mut reader = task::watch(caller, task, "").await;
    reader.expect("snapshot").await;
    reader
}

#[tokio::test]
async fn tokens_are_refreshed_only_while_a_stream_is_open() {
    let provider = TestProvider::start().await;
    provider.answers().lifetime = 2;
    let app = provider.app().await;
    let (watching, absent) = (app.caller(Role::Viewer).await, app.caller(Role::Viewer).await);
    link(&app, &absent).await;
    // Each refresh token is used once, so a provider that rotates them never sees an old one.
    link(&app, &watching).await;
    let reader = watch(&watching).await;
    until("two refreshes", async || provider.requests("refresh_token") >= 2).await;
    assert_eq!(grant(&watching).await["status"], "active");
    let kinds = notifications(&watching).await;
    assert_eq!(kinds[..2], ["oauth.linked", "oauth.refreshed"]);
    assert_eq!(notifications(&absent).await, ["oauth.linked"]);
    drop(reader);
    app.slots_freed().await;
    // A refresh that has begun may end. None follows, however often the job runs.
    let runs =
        || app.metric("streamgate_job_runs_total{job=\"refresh_grants\",outcome=\"succeeded\"}");
    let begun = runs();
    until("two runs", async || runs() >= begun + 2.0).await;
    let before = provider.requests("refresh_token");
    let begun = runs();
    until("six runs", async || runs() >= begun + 6.0).await;
    assert_eq!(provider.requests("refresh_token"), before);
    app.finish().await;
}

#[tokio::test]
async fn refused_refresh_token_ends_the_grant() {
    let provider = TestProvider::start().await;
    provider.answers().lifetime = 1;
    let app = provider.app().await;
    let caller = app.caller(Role::Viewer).await;
    link(&app, &caller).await;
    provider.answers().refusal = Some(INVALID_GRANT);
    let reader = watch(&caller).await;
    until("the end", async || grant(&caller).await["status"] == "expired").await;
    until("notification", async || {
        notifications(&caller).await == ["oauth.linked", "oauth.refresh_failed"]
    })
    .await;
    assert_eq!(provider.requests("refresh_token"), 1, "a final refusal is not tried again");
    let refused = caller.post("/v1/tasks", json!({ "task_type": "a", "requires": ["github"] }));
    refused.await.problem(401);
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn outage_is_tried_again_and_ends_without_a_login() {
    let provider = TestProvider::start().await;
    provider.answers().lifetime = 1;
    let app = provider.app().await;
    let caller = app.caller(Role::Viewer).await;
    link(&app, &caller).await;
    {
        let mut answers = provider.answers();
        (answers.failures, answers.lifetime) = (2, 3_600);
    }
    let reader = watch(&caller).await;
    until("recovery", async || notifications(&caller).await.len() == 2).await;
    assert_eq!(notifications(&caller).await, ["oauth.linked", "oauth.refreshed"]);
    assert_eq!(provider.requests("refresh_token"), 3);
    assert_eq!(grant(&caller).await["status"], "active");
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn third_failure_is_reported_to_the_user() {
    let provider = TestProvider::start().await;
    provider.answers().lifetime = 1;
    let app = provider.app().await;
    let caller = app.caller(Role::Viewer).await;
    link(&app, &caller).await;
    provider.answers().failures = 100;
    let reader = watch(&caller).await;
    until("report", async || notifications(&caller).await.len() == 2).await;
    assert_eq!(notifications(&caller).await, ["oauth.linked", "oauth.refresh_failed"]);
    assert_eq!(grant(&caller).await["status"], "failed");
    assert_eq!(provider.requests("refresh_token"), 3);
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn two_gateways_refresh_a_grant_once() {
    let provider = TestProvider::start().await;
    provider.answers().lifetime = 2;
    let store = Store::new().await;
    let bus = Arc::new(InProcessBus::default());
    let change = |config: &mut streamgate::config::Config| {
        with_providers(config, vec![provider.config("github")]);
    };
    let one = App::on(store.clone(), bus.clone(), change).await;
    let two = App::on(store, bus, change).await;
    let caller = one.caller(Role::Viewer).await;
    link(&one, &caller).await;
    let there = two.here(&caller);
    let task = id_of(&caller.post("/v1/tasks", json!({ "task_type": "a" })).await.ok());
    let mut readers = [task::watch(&caller, task, "").await, task::watch(&there, task, "").await];
    for reader in &mut readers {
        reader.expect("snapshot").await;
    }
    // An old refresh token would be refused, and would end the grant.
    until("four refreshes", async || provider.requests("refresh_token") >= 4).await;
    assert_eq!(grant(&caller).await["status"], "active");
    let requests = provider.answers().requests.clone();
    let mut used: Vec<_> = requests.iter().filter_map(|form| form.get("refresh_token")).collect();
    let count = used.len();
    used.sort();
    used.dedup();
    assert_eq!(used.len(), count, "each refresh token is used once");
    drop(readers);
    two.finish().await;
    one.finish().await;
}
