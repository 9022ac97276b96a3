//! Refreshes while another call changes the grant, and refreshes that fail.

use std::sync::Arc;

use entity::{
    oauth_grant::{self, Column, Model, Status},
    user::Role,
};
use futures_util::future::join_all;
use reqwest::Method;
use sea_orm::{EntityTrait, prelude::Expr};
use streamgate::oauth::{OauthError, Refreshed};
use uuid::Uuid;

use crate::support::{
    App, Caller,
    browser::link,
    log::Log,
    provider::{INVALID_GRANT, TestProvider},
    until,
};

/// A gateway, and a user with a grant.
async fn linked(provider: &TestProvider) -> (App, Caller) {
    let app = provider.app().await;
    let caller = app.caller(Role::Viewer).await;
    link(&app, &caller).await;
    (app, caller)
}

async fn row(app: &App) -> Option<Model> {
    let row = oauth_grant::Entity::find().one(app.gateway.database.reader()).await;
    row.expect("a query")
}

/// Refreshes the grant. While the provider has the request, runs `change`.
async fn refresh_during(
    app: &App,
    provider: &TestProvider,
    change: impl AsyncFnOnce(),
) -> Result<Refreshed, OauthError> {
    let seen = row(app).await.expect("a row");
    let arrived = provider.answers().arrived;
    let held = provider.hold().await;
    let gateway = Arc::clone(&app.gateway);
    let refresh = tokio::spawn(async move { gateway.oauth.refresh(&seen).await });
    until("request", async || provider.answers().arrived > arrived).await;
    change().await;
    drop(held);
    refresh.await.expect("no panic")
}

async fn set(app: &App, column: Column, value: impl Into<sea_orm::Value>) {
    let update = oauth_grant::Entity::update_many().col_expr(column, Expr::value(value));
    update.exec(app.gateway.database.writer()).await.expect("an update");
}

#[tokio::test]
async fn refusal_of_a_replaced_refresh_token_is_not_believed() {
    let provider = TestProvider::start().await;
    let (app, _) = linked(&provider).await;
    provider.answers().refusal = Some(INVALID_GRANT);
    let refreshed = refresh_during(&app, &provider, async || set(&app, Column::Version, 2).await);
    assert!(matches!(refreshed.await, Ok(Refreshed::Elsewhere(_))));
    assert_eq!(row(&app).await.expect("a row").status, Status::Active);
    app.finish().await;
}

#[tokio::test]
async fn refresh_without_its_lease_stores_nothing() {
    let provider = TestProvider::start().await;
    let (app, _) = linked(&provider).await;
    let before = row(&app).await.expect("a row");
    for refusal in [Some(("500 Failed", "server_error")), Some(INVALID_GRANT), None] {
        provider.answers().refusal = refusal;
        set(&app, Column::RefreshLeaseUntil, None::<entity::Timestamp>).await;
        let another = Uuid::new_v4();
        let change = async || set(&app, Column::RefreshLease, another).await;
        // The result does not matter. The other refresh decides about the grant.
        let _ = refresh_during(&app, &provider, change).await;
        let after = row(&app).await.expect("a row");
        assert_eq!(after.refresh_lease, Some(another));
        assert!(after.refresh_lease_until.is_some(), "the other lease is still live");
        assert_eq!((after.status, after.failures), (Status::Active, 0), "{refusal:?}");
        assert_eq!((after.tokens, after.version), (before.tokens.clone(), 1), "{refusal:?}");
    }
    app.finish().await;
}

#[tokio::test]
async fn unlinking_during_a_refresh_revokes_the_new_tokens() {
    let provider = TestProvider::start().await;
    let (app, caller) = linked(&provider).await;
    let old = provider.answers().refresh.clone();
    let unlink = async || {
        caller.call(Method::DELETE, "/v1/oauth/grants/github", None).await.ok();
    };
    let refreshed = refresh_during(&app, &provider, unlink).await;
    assert!(matches!(refreshed, Err(OauthError::NoGrant)), "{refreshed:?}");
    assert!(row(&app).await.is_none());
    let new = provider.answers().refresh.clone();
    assert_ne!(old, new);
    assert_eq!(provider.answers().revoked, [old, new]);
    app.finish().await;
}

#[tokio::test]
async fn refresh_that_failed_is_not_repeated_by_waiting_callers() {
    let provider = TestProvider::start().await;
    let (app, _) = linked(&provider).await;
    let seen = row(&app).await.expect("a row");
    provider.answers().failures = 1;
    for refreshed in join_all((0..5).map(|_| app.gateway.oauth.refresh(&seen))).await {
        assert!(matches!(refreshed, Ok(Refreshed::Failed { .. })), "{refreshed:?}");
    }
    assert_eq!(provider.requests("refresh_token"), 1);
    // A later success ends the series of failures.
    let failed = row(&app).await.expect("a row");
    assert_eq!(failed.failures, 1);
    let refreshed = app.gateway.oauth.refresh(&failed).await;
    assert!(
        matches!(refreshed, Ok(Refreshed::Done { grant: Model { failures: 0, .. }, .. })),
        "{refreshed:?}"
    );
    app.finish().await;
}

#[tokio::test]
async fn only_a_refused_refresh_token_ends_a_grant() {
    let provider = TestProvider::start().await;
    for (status, error, is_final) in [
        ("401 Unauthorized", "invalid_client", false),
        ("400 Bad Request", "invalid_client", false),
        ("400 Bad Request", "temporarily_unavailable", false),
        ("200 OK", "incorrect_client_credentials", false),
        ("200 OK", "bad_refresh_token", true),
        ("400 Bad Request", "invalid_grant", true),
    ] {
        provider.answers().refusal = None;
        let (app, _) = linked(&provider).await;
        let seen = row(&app).await.expect("a row");
        provider.answers().refusal = Some((status, error));
        let refreshed = app.gateway.oauth.refresh(&seen).await.expect("a result");
        assert_eq!(matches!(refreshed, Refreshed::Expired), is_final, "{error}: {refreshed:?}");
        let expected = if is_final { Status::Expired } else { Status::Active };
        let row = row(&app).await.expect("a row");
        assert_eq!(row.status, expected, "{error}");
        if is_final {
            let again = app.gateway.oauth.refresh(&row).await;
            assert!(matches!(again, Err(OauthError::NoGrant)), "{error}: {again:?}");
        }
        app.finish().await;
    }
}

#[tokio::test]
async fn refresh_without_a_new_refresh_token_keeps_the_old_one() {
    let provider = TestProvider::start().await;
    let (app, _) = linked(&provider).await;
    provider.answers().without_refresh = true;
    for _ in 0..2 {
        let refreshed = app.gateway.oauth.refresh(&row(&app).await.expect("a row")).await;
        assert!(matches!(refreshed, Ok(Refreshed::Done { .. })), "{refreshed:?}");
    }
    assert_eq!(provider.requests("refresh_token"), 2);
    app.finish().await;
}

#[tokio::test]
async fn new_tokens_outlast_a_failure_of_the_database() {
    let log = Log::default();
    let logging = log.start();
    let provider = TestProvider::start().await;
    let (app, _) = linked(&provider).await;
    let seen = row(&app).await.expect("a row");
    let held = provider.hold().await;
    let arrived = provider.answers().arrived;
    let gateway = Arc::clone(&app.gateway);
    let refresh = tokio::spawn(async move { gateway.oauth.refresh(&seen).await });
    until("request", async || provider.answers().arrived > arrived).await;
    app.rename_table("oauth_grant", "hidden").await;
    drop(held);
    until("failure", async || {
        let lines = serde_json::json!(log.lines()).to_string();
        lines.contains("cannot store the new tokens of a grant")
    })
    .await;
    app.rename_table("hidden", "oauth_grant").await;
    let refreshed = refresh.await.expect("no panic");
    assert!(matches!(refreshed, Ok(Refreshed::Done { .. })), "{refreshed:?}");
    let stored = row(&app).await.expect("a row");
    let token = app.gateway.oauth.access_token(&stored).expect("a token");
    assert_eq!(Some(&token), provider.answers().issued.iter().rev().nth(1));
    app.finish().await;
    drop(logging);
}
