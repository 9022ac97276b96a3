//! Linking and unlinking an account.

use std::{os::unix::fs::PermissionsExt, sync::Arc};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use entity::{oauth_grant, user::Role};
use reqwest::Method;
use sea_orm::EntityTrait;
use serde_json::json;
use streamgate::{bus::InProcessBus, config::Config};

use crate::support::{
    App, PASSWORD, Store,
    browser::{Browser, begin, grant, link, notifications, parameter},
    log::Log,
    provider::{PUBLIC, TestProvider, with_providers},
    until,
};

#[tokio::test]
async fn user_links_an_account_after_a_login_on_the_page() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    app.create_user("ada", Role::Viewer).await;
    let ada = app.log_in("ada").await;
    let request = begin(&ada, "github").await;
    let mut browser = Browser::new(&app);
    let page = browser.open(&format!("/v1/oauth/authorize?request={request}")).await;
    assert!(page.text.contains("name=\"password\""), "{page:?}");
    let policy = page.headers["content-security-policy"].to_str().expect("text");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    let page = browser.log_in(&request, "ada").await;
    for shown in ["github", "<b>ada</b>", "repo", "streamgate"] {
        assert!(page.text.contains(shown), "{shown}: {page:?}");
    }
    let cookie = page.headers["set-cookie"].to_str().expect("text");
    assert!(cookie.starts_with("streamgate-link=") && cookie.contains("; HttpOnly; SameSite=Lax"));
    let target = browser.go_on(&request).await;
    assert!(target.as_str().starts_with(&format!("http://{}/authorize?", provider.address)));
    assert_eq!(parameter(&target, "redirect_uri"), format!("{PUBLIC}/v1/oauth/callback"));
    assert_eq!(parameter(&target, "scope"), "repo");
    assert_eq!(parameter(&target, "code_challenge_method"), "S256");
    let page = browser.call_back(&parameter(&target, "state"), "").await;
    assert!(page.text.contains("Account linked"), "{page:?}");
    assert_eq!(browser.cookie, None, "the one-time cookie is removed");
    // The verifier belongs to the challenge (RFC 7636, section 4.6).
    let form = provider.answers().requests[0].clone();
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, form["code_verifier"].as_bytes());
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest);
    assert_eq!(challenge, parameter(&target, "code_challenge"));
    assert_eq!(form["code"], "the-code");
    assert_eq!(form["redirect_uri"], format!("{PUBLIC}/v1/oauth/callback"));
    let shown = grant(&ada).await;
    assert_eq!((&shown["provider"], &shown["status"]), (&json!("github"), &json!("active")));
    assert_eq!(notifications(&ada).await, ["oauth.linked"]);
    let admin = app.log_in("admin").await;
    let events = admin.get("/v1/audit-events?kind=oauth.linked").await.ok();
    assert_eq!(events["items"][0]["data"], json!({ "provider": "github" }));
    let events = admin.get("/v1/audit-events?kind=login.succeeded").await.ok();
    let events = events["items"].as_array().expect("items");
    assert!(events.iter().any(|event| event["data"]["for"] == "oauth"), "{events:?}");
    app.finish().await;
}

#[tokio::test]
async fn offline_access_asks_for_consent() {
    let provider = TestProvider::start().await;
    let plain = provider.config("plain");
    let mut offline = provider.config("offline");
    offline.scopes.push("offline_access".to_owned());
    let mut own = offline.clone();
    own.name = "own".to_owned();
    own.authorization_url.as_mut().expect("a URL").set_query(Some("prompt=login"));
    let app = App::with(|config| with_providers(config, vec![plain, offline, own])).await;
    app.create_user("ada", Role::Viewer).await;
    let ada = app.log_in("ada").await;
    for (name, prompt) in [("plain", None), ("offline", Some("consent")), ("own", Some("login"))] {
        let request = begin(&ada, name).await;
        let mut browser = Browser::new(&app);
        browser.log_in(&request, "ada").await;
        let target = browser.go_on(&request).await;
        let prompts = target.query_pairs().filter(|(key, _)| key == "prompt");
        let prompts: Vec<_> = prompts.map(|(_, value)| value.into_owned()).collect();
        assert_eq!(prompts, Vec::from_iter(prompt), "{name}");
    }
    app.finish().await;
}

#[tokio::test]
async fn tokens_are_encrypted_and_never_in_the_log() {
    let log = Log::default();
    let logging = log.start();
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let caller = app.caller(Role::Viewer).await;
    link(&app, &caller).await;
    let rows = oauth_grant::Entity::find().all(app.gateway.database.reader()).await;
    let rows = format!("{:?}", rows.expect("rows"));
    let listed = grant(&caller).await.to_string();
    let admin = app.log_in("admin").await;
    let events = admin.get("/v1/audit-events").await.ok().to_string();
    app.finish().await;
    drop(logging);
    let log = json!(log.lines()).to_string();
    let issued = provider.answers().issued.clone();
    assert_eq!(issued.len(), 2);
    for secret in issued.iter().map(String::as_str).chain(["a client secret", "the-code"]) {
        for text in [&rows, &listed, &events, &log] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
}

#[tokio::test]
async fn deleted_grant_is_revoked_at_the_provider() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let caller = app.caller(Role::Viewer).await;
    link(&app, &caller).await;
    let refresh = provider.answers().refresh.clone();
    let delete = async || caller.call(Method::DELETE, "/v1/oauth/grants/github", None).await;
    assert_eq!(delete().await.status, 204);
    assert_eq!(provider.answers().revoked, [refresh]);
    assert!(grant(&caller).await.is_null());
    assert_eq!(notifications(&caller).await, ["oauth.linked", "oauth.revoked"]);
    let admin = app.log_in("admin").await;
    let events = admin.get("/v1/audit-events?kind=oauth.revoked").await.ok();
    let data = json!({ "provider": "github", "revoked_at_provider": true });
    assert_eq!(events["items"][0]["data"], data);
    delete().await.problem(404);
    app.finish().await;
}

#[tokio::test]
async fn authorization_is_returned_again_until_a_browser_opens_it() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let caller = app.caller(Role::Viewer).await;
    let username = caller.me().await["username"].as_str().expect("a name").to_owned();
    let first = begin(&caller, "github").await;
    // A client that reconnects again and again adds no authorization.
    for _ in 0..3 {
        assert_eq!(begin(&caller, "github").await, first);
    }
    assert_ne!(begin(&app.caller(Role::Viewer).await, "github").await, first);
    let mut browser = Browser::new(&app);
    browser.log_in(&first, &username).await;
    let second = begin(&caller, "github").await;
    assert_ne!(second, first);
    // The other authorization does not disturb the browser.
    let state = parameter(&browser.go_on(&first).await, "state");
    assert!(browser.call_back(&state, "").await.text.contains("Account linked"));
    app.finish().await;
}

#[tokio::test]
async fn account_that_is_linked_again_replaces_the_grant() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let caller = app.caller(Role::Viewer).await;
    link(&app, &caller).await;
    link(&app, &caller).await;
    let rows = oauth_grant::Entity::find().all(app.gateway.database.reader()).await;
    let [row] = rows.expect("rows").try_into().expect("one row");
    let newest = provider.answers().issued[2].clone();
    assert_eq!(app.gateway.oauth.access_token(&row).expect("a token"), newest);
    app.finish().await;
}

#[tokio::test]
async fn older_keys_decrypt_until_rows_have_the_newest() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let caller = app.caller(Role::Viewer).await;
    link(&app, &caller).await;
    let row = async || {
        let row = oauth_grant::Entity::find().one(app.gateway.database.reader()).await;
        row.expect("a query").expect("a row")
    };
    let before = row().await;
    let old = before.tokens.split('.').next().expect("a key id").to_owned();
    let directory = app.gateway.config.data_dir.join("keys/grants");
    // A key from long ago, so that it encrypts at once. The first key is not a minute old yet.
    let newer = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 1_000_000_000, 0));
    std::fs::write(directory.join(format!("{newer}.key")), [7; 32]).expect("a key");
    std::fs::rename(directory.join(format!("{old}.key")), directory.join("old.bak"))
        .expect("moved");
    // Without its key, the row cannot be read, and stays as it is.
    assert!(app.gateway.oauth.reencrypt().await.is_err());
    std::fs::rename(directory.join("old.bak"), directory.join(format!("{old}.key")))
        .expect("moved");
    app.gateway.oauth.reencrypt().await.expect("a run");
    let after = row().await;
    assert!(after.tokens.starts_with(&newer.to_string()), "{}", after.tokens);
    let issued = provider.answers().issued[0].clone();
    assert_eq!(app.gateway.oauth.access_token(&after).expect("a token"), issued);
    // Of two keys, the newest one encrypts.
    let newest = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 1_000_000_100, 0));
    std::fs::write(directory.join(format!("{newest}.key")), [8; 32]).expect("a key");
    app.gateway.oauth.reencrypt().await.expect("a run");
    let last = row().await;
    assert!(last.tokens.starts_with(&newest.to_string()), "{}", last.tokens);
    app.finish().await;
}

#[tokio::test]
async fn key_of_another_gateway_is_read_at_its_first_use() {
    let provider = TestProvider::start().await;
    let (store, bus) = (Store::new().await, Arc::new(InProcessBus::default()));
    let change = |config: &mut Config| with_providers(config, vec![provider.config("github")]);
    let one = App::on(store.clone(), bus.clone(), change).await;
    let two = App::on(store, bus, change).await;
    link(&one, &one.caller(Role::Viewer).await).await;
    let key = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 1_000_000_000, 0));
    let directory = one.gateway.config.data_dir.join("keys/grants");
    for file in std::fs::read_dir(&directory).expect("a directory") {
        let mode = file.expect("a file").metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o077, 0, "only the gateway can read a key");
    }
    std::fs::write(directory.join(format!("{key}.key")), [7; 32]).expect("a key");
    assert_eq!(one.gateway.oauth.reencrypt().await.expect("a run"), 1);
    let row = oauth_grant::Entity::find().one(two.gateway.database.reader()).await;
    let row = row.expect("a query").expect("a row");
    let issued = provider.answers().issued[0].clone();
    assert_eq!(two.gateway.oauth.access_token(&row).expect("a token"), issued);
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn tokens_cannot_be_moved_to_another_row() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    for _ in 0..2 {
        link(&app, &app.caller(Role::Viewer).await).await;
    }
    let rows = oauth_grant::Entity::find().all(app.gateway.database.reader()).await;
    let [one, other] = rows.expect("rows").try_into().expect("two rows");
    app.gateway.oauth.access_token(&one).expect("a token");
    let moved = oauth_grant::Model { tokens: one.tokens, ..other };
    assert!(app.gateway.oauth.access_token(&moved).is_err());
    app.finish().await;
}

#[tokio::test]
async fn link_cookie_has_a_safe_name_on_https() {
    let provider = TestProvider::start().await;
    let app = App::with(|config| {
        with_providers(config, vec![provider.config("github")]);
        config.server.public_url = Some("https://gate.example.com".parse().expect("a URL"));
    })
    .await;
    app.create_user("ada", Role::Viewer).await;
    let path = "/v1/oauth/grants/github/authorize";
    let begun = app.log_in("ada").await.call(Method::POST, path, None).await.ok();
    let url = begun["authorization_url"].as_str().expect("a URL").parse().expect("a URL");
    let request = parameter(&url, "request");
    let form = [("request", &*request), ("username", "ada"), ("password", PASSWORD)];
    let origin = Some("https://gate.example.com");
    let mut browser = Browser::new(&app);
    let page = browser.send(Method::POST, "/v1/oauth/authorize", Some(&form), origin).await;
    let cookie = page.headers["set-cookie"].to_str().expect("text");
    assert!(cookie.starts_with("__Host-streamgate-link="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
    app.finish().await;
}

#[tokio::test]
async fn tokens_of_a_deleted_user_are_revoked() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let caller = app.caller(Role::Viewer).await;
    link(&app, &caller).await;
    let refresh = provider.answers().refresh.clone();
    let path = format!("/v1/users/{}", caller.id().await);
    let admin = app.log_in("admin").await;
    assert_eq!(admin.call(Method::DELETE, &path, None).await.status, 204);
    until("revocation", async || provider.answers().revoked == [refresh.clone()]).await;
    app.finish().await;
}

#[tokio::test]
async fn grant_that_cannot_be_refreshed_is_shown_as_expired() {
    let provider = TestProvider::start().await;
    (provider.answers().lifetime, provider.answers().without_refresh) = (1, true);
    let app = provider.app().await;
    let caller = app.caller(Role::Viewer).await;
    link(&app, &caller).await;
    until("end", async || grant(&caller).await["status"] == "expired").await;
    app.finish().await;
}
