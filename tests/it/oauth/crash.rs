//! A gateway that is killed during a refresh.

use entity::{
    Timestamp,
    oauth_grant::{self, Column},
};
use sea_orm::{Database, EntityTrait, prelude::Expr};
use serde_json::json;

use crate::support::{
    PASSWORD, Store,
    browser::{Browser, begin, grant, notifications},
    process::{Process, streamgate},
    provider::{PUBLIC, TestProvider},
    task, until,
};

async fn serve(store: &Store, provider: &TestProvider) -> Process {
    let mut serve = streamgate(store, ["serve"]);
    let providers = json!([provider.settings("github")]).to_string();
    serve.env("STREAMGATE_OAUTH__PROVIDERS", providers);
    serve.env("STREAMGATE_SERVER__PUBLIC_URL", PUBLIC);
    serve.env("STREAMGATE_ADMIN_PASSWORD", PASSWORD);
    serve.env("STREAMGATE_STREAMS__HEARTBEAT_SECONDS", "1");
    Process::start(&mut serve).await
}

/// The lease of the killed gateway expires after a minute. This does not wait for it.
async fn end_lease(store: &Store) {
    let file = store.directory.path().join("data/streamgate.db");
    let url = store.url().unwrap_or_else(|| format!("sqlite:{}", file.display()));
    let database = Database::connect(url).await.expect("the database");
    let update = oauth_grant::Entity::update_many()
        .col_expr(Column::RefreshLeaseUntil, Expr::value(Timestamp::now()));
    assert_eq!(update.exec(&database).await.expect("an update").rows_affected, 1);
    database.close().await.expect("a close");
}

/// Kills the gateway while the provider has its request for new tokens, and starts another one. Returns the status of the
/// grant and the newest notification after its first refresh.
async fn refresh_after_a_kill(answer_is_lost: bool) -> (String, String) {
    let store = Store::new().await;
    let provider = TestProvider::start().await;
    provider.answers().lifetime = 1;
    let mut process = serve(&store, &provider).await;
    let admin = process.log_in("admin", PASSWORD).await;
    let request = begin(&admin, "github").await;
    Browser::at(process.address).link(&request, "admin").await;
    let old = provider.answers().refresh.clone();
    let held = provider.hold().await;
    let arrived = provider.answers().arrived;
    let id = task::create(&admin, "a").await;
    let reader = task::watch(&admin, id, "").await;
    until("refresh", async || provider.answers().arrived > arrived).await;
    process.child.kill().await.expect("a SIGKILL");
    provider.answers().failures = usize::from(!answer_is_lost);
    provider.answers().lifetime = 3_600;
    drop((held, reader));
    until("answer", async || provider.requests("refresh_token") == 1).await;
    end_lease(&store).await;
    assert_eq!(provider.answers().refresh != old, answer_is_lost);

    let process = serve(&store, &provider).await;
    let admin = process.log_in("admin", PASSWORD).await;
    let reader = task::watch(&admin, id, "").await;
    until("another refresh", async || notifications(&admin).await.len() == 2).await;
    assert_eq!(provider.requests("refresh_token"), 2);
    let status = grant(&admin).await["status"].as_str().expect("a status").to_owned();
    let newest = notifications(&admin).await.pop().expect("a notification");
    drop(reader);
    process.stop().await;
    store.remove().await;
    (status, newest)
}

#[tokio::test]
async fn refresh_interrupted_by_a_kill_is_done_again() {
    let after = refresh_after_a_kill(false).await;
    assert_eq!(after, ("active".to_owned(), "oauth.refreshed".to_owned()));
}

/// The provider has replaced the refresh token, and nothing has the new one. Only the user can repair this.
#[tokio::test]
async fn user_learns_of_tokens_lost_by_a_kill() {
    let after = refresh_after_a_kill(true).await;
    assert_eq!(after, ("expired".to_owned(), "oauth.refresh_failed".to_owned()));
}
