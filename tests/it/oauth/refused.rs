//! Attacks on the authorization.

use std::time::Duration;

use entity::{Timestamp, oauth_authorization, user::Role};
use futures_util::future::join_all;
use reqwest::Method;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, prelude::Expr};
use serde_json::json;
use streamgate::config::Limits;
use url::Url;
use uuid::Uuid;

use crate::support::{
    App, Caller, PASSWORD,
    browser::{Browser, begin, grant, parameter},
    provider::{PUBLIC, TestProvider, with_providers},
    user,
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
    let page = browser.call_back(&state, "&error=access_denied").await;
    assert!(page.text.contains("You have declined"), "{page:?}");
    assert_eq!(provider.requests("authorization_code"), 0);
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

#[tokio::test]
async fn session_cookie_replaces_the_login_of_its_user_only() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (attacker, _) = users(&app).await;
    let request = begin(&attacker, "github").await;
    let path = format!("/v1/oauth/authorize?request={request}");
    let session_cookie = async |username: &str| {
        let login = json!({ "username": username, "password": PASSWORD, "cookie": true });
        let login = app.anyone().request(Method::POST, "/v1/auth/login").json(&login);
        let answer = Caller::answer(login.header("origin", PUBLIC)).await;
        let cookie = answer.headers["set-cookie"].to_str().expect("text");
        cookie.split(';').next().map(str::to_owned)
    };
    let mut browser = Browser::new(&app);
    browser.cookie = session_cookie("victim").await;
    let page = browser.open(&path).await;
    assert!(page.text.contains("Another user has asked for this link"), "{page:?}");
    assert!(!page.headers.contains_key("set-cookie"));
    browser.cookie = session_cookie("attacker").await;
    let page = browser.open(&path).await;
    assert!(page.text.contains("<b>attacker</b>"), "{page:?}");
    let state = parameter(&browser.go_on(&request).await, "state");
    assert!(browser.call_back(&state, "").await.text.contains("Account linked"));
    app.finish().await;
}

#[tokio::test]
async fn only_the_last_browser_that_logged_in_continues() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (attacker, _) = users(&app).await;
    let request = begin(&attacker, "github").await;
    let mut browser = Browser::new(&app);
    browser.log_in(&request, "attacker").await;
    let form = [("request", request.as_str())];
    let another = Browser::new(&app).submit("/v1/oauth/authorize/continue", &form).await;
    assert!(another.text.contains("belongs to another browser"), "{another:?}");
    let state = parameter(&browser.go_on(&request).await, "state");
    browser.log_in(&request, "attacker").await;
    let page = browser.call_back(&state, "").await;
    assert!(page.text.contains("Not linked"), "{page:?}");
    app.finish().await;
}

#[tokio::test]
async fn simultaneous_callbacks_use_the_code_once() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (attacker, _) = users(&app).await;
    let (browser, state) = Browser::at_provider(&app, (&attacker, "attacker"), "github").await;
    let pages = join_all((0..8).map(|_| {
        let mut tab = Browser::new(&app);
        tab.cookie.clone_from(&browser.cookie);
        let state = &state;
        async move { tab.call_back(state, "").await }
    }));
    let linked = pages.await.into_iter().filter(|page| page.text.contains("Account linked"));
    assert_eq!((linked.count(), provider.requests("authorization_code")), (1, 1));
    app.finish().await;
}

#[tokio::test]
async fn issuer_in_a_response_needs_a_configured_one() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (attacker, _) = users(&app).await;
    let (mut browser, state) = Browser::at_provider(&app, (&attacker, "attacker"), "github").await;
    let page = browser.call_back(&state, &format!("&iss=http://{}", provider.address)).await;
    assert!(page.text.contains("The response of the provider was refused"), "{page:?}");
    assert_eq!(provider.requests("authorization_code"), 0);
    app.finish().await;
}

#[tokio::test]
async fn user_who_was_disabled_meanwhile_links_nothing() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (attacker, _) = users(&app).await;
    let (mut browser, state) = Browser::at_provider(&app, (&attacker, "attacker"), "github").await;
    let admin = app.log_in("admin").await;
    user::update(&admin, attacker.id().await, json!({ "disabled": true })).await.ok();
    let page = browser.call_back(&state, "").await;
    assert!(page.text.contains("Not linked"), "{page:?}");
    assert_eq!(provider.requests("authorization_code"), 0);
    app.finish().await;
}

#[tokio::test]
async fn logins_on_the_page_are_limited() {
    let provider = TestProvider::start().await;
    for limit in [
        |limits: &mut Limits| limits.logins_per_minute_per_address = 5,
        |limits: &mut Limits| limits.logins_per_minute_per_user = 5,
        |limits: &mut Limits| limits.logins_per_minute_per_name = 5,
    ] {
        let app = App::with(|config| {
            with_providers(config, vec![provider.config("github")]);
            limit(&mut config.limits);
        })
        .await;
        let (attacker, _) = users(&app).await;
        let request = begin(&attacker, "github").await;
        let form = [("request", &*request), ("username", "victim"), ("password", "a guess")];
        let mut statuses = Vec::new();
        for _ in 0..6 {
            let page = Browser::new(&app).submit("/v1/oauth/authorize", &form).await;
            statuses.push(page.status);
        }
        assert_eq!((statuses[0], statuses[5]), (200, 429), "{statuses:?}");
        app.finish().await;
    }
}

#[tokio::test]
async fn oldest_of_many_authorizations_is_deleted() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    let (attacker, _) = users(&app).await;
    let oldest = begin(&attacker, "github").await;
    for _ in 0..20 {
        // An authorization that is older than a minute is not returned again.
        let older = Timestamp::now() - Duration::from_mins(2);
        oauth_authorization::Entity::update_many()
            .col_expr(oauth_authorization::Column::CreatedAt, Expr::value(older))
            .filter(oauth_authorization::Column::CreatedAt.gt(older))
            .exec(app.gateway.database.writer())
            .await
            .expect("an update");
        begin(&attacker, "github").await;
    }
    let page = Browser::new(&app).log_in(&oldest, "attacker").await;
    assert!(page.text.contains("Not linked"), "{page:?}");
    app.finish().await;
}

#[tokio::test]
async fn wrong_discovery_document_of_a_provider_is_refused() {
    let provider = TestProvider::start().await;
    let mut config = provider.config("github");
    (config.authorization_url, config.token_url) = (None, None);
    config.issuer = Url::parse(&format!("http://{}", provider.address)).ok();
    for (name, value, expected) in [
        ("issuer", "https://evil.example.com", "cannot be used at the moment"),
        ("authorization_endpoint", "javascript:alert(1)", "cannot be used at the moment"),
        ("authorization_endpoint", "https://login.example.com", "(login.example.com)"),
    ] {
        provider.answers().discovery = [(name.to_owned(), json!(value))].into_iter().collect();
        let app = App::with(|all| with_providers(all, vec![config.clone()])).await;
        let (attacker, _) = users(&app).await;
        let request = begin(&attacker, "github").await;
        let page = Browser::new(&app).log_in(&request, "attacker").await;
        assert!(page.text.contains(expected), "{value}: {page:?}");
        app.finish().await;
    }
}

#[tokio::test]
async fn revocation_and_new_password_end_authorizations() {
    let provider = TestProvider::start().await;
    let app = provider.app().await;
    app.create_user("ada", Role::Viewer).await;
    let admin = app.log_in("admin").await;
    for change in ["revoke", "password"] {
        let ada = app.log_in("ada").await;
        let user = ada.id().await;
        let request = begin(&ada, "github").await;
        let mut browser = Browser::new(&app);
        browser.log_in(&request, "ada").await;
        if change == "revoke" {
            admin.post(&format!("/v1/users/{user}/revoke"), json!({})).await.ok();
        } else {
            let change = json!({ "password": PASSWORD });
            admin.call(Method::PATCH, &format!("/v1/users/{user}"), Some(change)).await.ok();
        }
        // The person who has logged in here may not be the user.
        let page = browser.submit("/v1/oauth/authorize/continue", &[("request", &request)]).await;
        assert_ne!(page.status, 303, "{change}: {page:?}");
    }
    app.finish().await;
}
