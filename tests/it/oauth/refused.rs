//! Attacks on the authorization.

use entity::{Timestamp, oauth_authorization, user::Role};
use reqwest::Method;
use sea_orm::{EntityTrait, prelude::Expr};
use serde_json::json;
use url::Url;
use uuid::Uuid;

use crate::support::{
    App, Caller,
    provider::{Browser, PUBLIC, TestProvider, begin, grant, parameter, with_providers},
};

async fn users(app: &App) -> (Caller, Caller) {
    for name in ["attacker", "victim"] {
        app.create_user(name, Role::Viewer).await;
    }
    (app.log_in("attacker").await, app.log_in("victim").await)
}

#[tokio::test]
async fn victim_who_follows_a_link_of_an_attacker_links_nothing() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (attacker, victim) = users(&app).await;
    let request = begin(&attacker, "github").await;
    let mut browser = Browser::new(&app);
    let page = browser.log_in(&request, "victim").await;
    assert!(page.text.contains("Another user has asked for this link"), "{page:?}");
    assert_eq!(browser.cookie, None);
    // The attacker goes through the page and stops before the provider. The victim gets that URL.
    let mut own = Browser::new(&app);
    own.log_in(&request, "attacker").await;
    let state = parameter(&own.go_on(&request).await, "state");
    let page = browser.call_back(&state, "").await;
    assert!(page.text.contains("belongs to another browser"), "{page:?}");
    assert_eq!(provider.requests("authorization_code"), 0, "the code went nowhere");
    for caller in [&attacker, &victim] {
        assert!(grant(caller).await.is_null());
    }
    app.finish().await;
}

#[tokio::test]
async fn state_is_used_once_and_cannot_be_guessed() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (attacker, _) = users(&app).await;
    let (mut browser, state) = Browser::at_provider(&app, (&attacker, "attacker"), "github").await;
    for forged in ["", "forged", &state.to_lowercase(), &Uuid::new_v4().to_string()] {
        let page = browser.call_back(forged, "").await;
        assert!(page.text.contains("Not linked"), "{forged}: {page:?}");
    }
    let cookie = browser.cookie.clone();
    assert!(browser.call_back(&state, "").await.text.contains("Account linked"));
    browser.cookie = cookie;
    assert!(browser.call_back(&state, "").await.text.contains("Not linked"));
    assert_eq!(provider.requests("authorization_code"), 1);
    app.finish().await;
}

#[tokio::test]
async fn authorization_ends_after_ten_minutes() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (attacker, _) = users(&app).await;
    let request = begin(&attacker, "github").await;
    let mut browser = Browser::new(&app);
    browser.log_in(&request, "attacker").await;
    let state = parameter(&browser.go_on(&request).await, "state");
    oauth_authorization::Entity::update_many()
        .col_expr(oauth_authorization::Column::ExpiresAt, Expr::value(Timestamp::now()))
        .exec(app.gateway.database.writer())
        .await
        .expect("an update");
    assert!(browser.call_back(&state, "").await.text.contains("Not linked"));
    assert!(browser.log_in(&request, "attacker").await.text.contains("Not linked"));
    let page = browser.submit("/v1/oauth/authorize/continue", &[("request", &request)]).await;
    assert!(page.text.contains("Not linked"));
    app.finish().await;
}

#[tokio::test]
async fn response_of_another_provider_is_refused() {
    let (one, other) = (TestProvider::start().await, TestProvider::start().await);
    let url = |provider: &TestProvider| Url::parse(&format!("http://{}", provider.address)).ok();
    let providers = [("one", &one), ("other", &other)].map(|(name, provider)| {
        let mut config = provider.config(name);
        (config.authorization_url, config.token_url, config.issuer) = (None, None, url(provider));
        config
    });
    let app = App::with(|config| with_providers(config, providers.into())).await;
    let (attacker, _) = users(&app).await;
    let at_one = async || Browser::at_provider(&app, (&attacker, "attacker"), "one").await;
    for iss in [Some(&other), None] {
        let (mut browser, state) = at_one().await;
        let iss = iss.map(|provider| format!("&iss=http://{}", provider.address));
        let page = browser.call_back(&state, &iss.unwrap_or_default()).await;
        assert!(page.text.contains("The response of the provider was refused"), "{page:?}");
    }
    for provider in [&one, &other] {
        assert_eq!(provider.requests("authorization_code"), 0);
    }
    let (mut browser, state) = at_one().await;
    let page = browser.call_back(&state, &format!("&iss=http://{}", one.address)).await;
    assert!(page.text.contains("Account linked"), "{page:?}");
    app.finish().await;
}

#[tokio::test]
async fn pages_redirect_to_the_configured_provider_only() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (attacker, _) = users(&app).await;
    let request = begin(&attacker, "github").await;
    let mut browser = Browser::new(&app);
    browser.log_in(&request, "attacker").await;
    let form = [("request", request.as_str()), ("redirect_uri", "https://evil.example.com")];
    let path = "/v1/oauth/authorize/continue?next=https://evil.example.com";
    let page = browser.submit(path, &form).await;
    let target = page.headers["location"].to_str().expect("text");
    assert!(target.starts_with(&format!("http://{}/authorize?", provider.address)), "{target}");
    assert!(!target.contains("evil"), "{target}");
    // The callback never redirects, whatever it gets.
    let state = parameter(&target.parse().expect("a URL"), "state");
    let page = browser.call_back(&state, "&redirect_uri=https://evil.example.com").await;
    assert_eq!((page.status, page.headers.get("location")), (200, None));
    app.finish().await;
}

#[tokio::test]
async fn forms_of_other_pages_are_refused() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (attacker, _) = users(&app).await;
    let request = begin(&attacker, "github").await;
    let mut browser = Browser::new(&app);
    browser.log_in(&request, "attacker").await;
    for origin in [None, Some("null"), Some("https://evil.example.com")] {
        for path in ["/v1/oauth/authorize", "/v1/oauth/authorize/continue"] {
            let form = [("request", &*request), ("username", "attacker"), ("password", "a")];
            let page = browser.send(Method::POST, path, Some(&form), origin).await;
            assert_eq!(page.status, 403, "{path} {origin:?}");
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn declined_consent_links_nothing() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (attacker, _) = users(&app).await;
    let (mut browser, state) = Browser::at_provider(&app, (&attacker, "attacker"), "github").await;
    let path = format!("{PUBLIC}/v1/oauth/callback?state={state}&error=access_denied");
    let page = browser.open(&path).await;
    assert!(page.text.contains("You have declined"), "{page:?}");
    assert!(grant(&attacker).await.is_null());
    app.finish().await;
}

#[tokio::test]
async fn key_cannot_link_or_unlink_accounts() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (attacker, _) = users(&app).await;
    let key = attacker.post("/v1/api-keys", json!({ "name": "k" })).await.ok();
    let key = crate::support::auth::bearer(&app, key["key"].as_str().expect("a key"));
    key.call(Method::POST, "/v1/oauth/grants/github/authorize", None).await.problem(403);
    key.call(Method::DELETE, "/v1/oauth/grants/github", None).await.problem(403);
    key.get("/v1/oauth/grants").await.ok();
    app.finish().await;
}
