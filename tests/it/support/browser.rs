//! The browser of a user who links an account at an upstream OAuth provider, and what the user sees of it.

use std::net::SocketAddr;

use reqwest::{Method, Response, header::HeaderMap, redirect::Policy};
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::support::{App, Caller, PASSWORD, provider::PUBLIC};

/// A browser: it keeps the one-time cookie, and does not follow redirects.
pub struct Browser {
    http: reqwest::Client,
    address: SocketAddr,
    pub cookie: Option<String>,
}

/// A page, or a redirect.
#[derive(Debug)]
pub struct PageView {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Browser {
    pub fn new(app: &App) -> Self {
        Self::at(app.address)
    }

    pub fn at(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder().redirect(Policy::none()).build().expect("a client");
        Self { http, address, cookie: None }
    }

    pub async fn open(&mut self, url: &str) -> PageView {
        self.send(Method::GET, url, None, None).await
    }

    /// Submits a form of the gateway's own page.
    pub async fn submit(&mut self, path: &str, form: &[(&str, &str)]) -> PageView {
        self.send(Method::POST, path, Some(form), Some(PUBLIC)).await
    }

    pub async fn send(
        &mut self,
        method: Method,
        url: &str,
        form: Option<&[(&str, &str)]>,
        origin: Option<&str>,
    ) -> PageView {
        let path = url.strip_prefix(PUBLIC).unwrap_or(url);
        let mut request = self.http.request(method, format!("http://{}{path}", self.address));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        if let Some(form) = form {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            request =
                request.header("content-type", "application/x-www-form-urlencoded").body(body);
        }
        let response: Response = request.send().await.expect("a response");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if let Some(cookie) = headers.get("set-cookie") {
            let pair = cookie.to_str().expect("text").split(';').next().expect("a pair");
            self.cookie = Some(pair.to_owned()).filter(|pair| !pair.ends_with('='));
        }
        PageView { status, headers, text: response.text().await.expect("a body") }
    }

    /// Logs in on the page of an authorization.
    pub async fn log_in(&mut self, request: &str, username: &str) -> PageView {
        let form = [("request", request), ("username", username), ("password", PASSWORD)];
        self.submit("/v1/oauth/authorize", &form).await
    }

    /// Confirms what is linked. Returns the URL of the provider.
    pub async fn go_on(&mut self, request: &str) -> Url {
        let page = self.submit("/v1/oauth/authorize/continue", &[("request", request)]).await;
        assert_eq!(page.status, 303, "{page:?}");
        page.headers["location"].to_str().expect("text").parse().expect("a URL")
    }

    /// A browser that has gone on to the provider, with the authorization of this caller. Returns the `state` too.
    pub async fn at_provider(
        app: &App,
        (caller, username): (&Caller, &str),
        provider: &str,
    ) -> (Self, String) {
        let request = begin(caller, provider).await;
        let mut browser = Self::new(app);
        browser.log_in(&request, username).await;
        let state = parameter(&browser.go_on(&request).await, "state");
        (browser, state)
    }

    /// Returns from the provider with a code.
    pub async fn call_back(&mut self, state: &str, more: &str) -> PageView {
        self.open(&format!("/v1/oauth/callback?state={state}&code=the-code{more}")).await
    }

    /// Logs in, confirms, and returns from the provider.
    pub async fn link(&mut self, request: &str, username: &str) -> PageView {
        self.log_in(request, username).await;
        let state = parameter(&self.go_on(request).await, "state");
        self.call_back(&state, "").await
    }
}

/// A parameter of a URL.
pub fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
}

/// Begins an authorization. Returns its id.
pub async fn begin(caller: &Caller, provider: &str) -> String {
    let path = format!("/v1/oauth/grants/{provider}/authorize");
    let begun = caller.call(Method::POST, &path, None).await.ok();
    let url: Url = begun["authorization_url"].as_str().expect("a URL").parse().expect("a URL");
    assert!(url.as_str().starts_with(&format!("{PUBLIC}/v1/oauth/authorize?request=")), "{url}");
    parameter(&url, "request")
}

/// Links an account of a caller at `github`.
pub async fn link(app: &App, caller: &Caller) {
    let username = caller.me().await["username"].as_str().expect("a name").to_owned();
    let request = begin(caller, "github").await;
    let page = Browser::new(app).link(&request, &username).await;
    assert!(page.text.contains("Account linked"), "{page:?}");
}

/// The grant of a caller at `github`.
pub async fn grant(caller: &Caller) -> Value {
    let grants = caller.get("/v1/oauth/grants").await.ok();
    grants["grants"].get(0).cloned().unwrap_or(Value::Null)
}

/// The kinds of the caller's notifications, oldest first.
pub async fn notifications(caller: &Caller) -> Vec<String> {
    let path = format!("/v1/users/{}/notifications", caller.id().await);
    let page = caller.get(&path).await.ok();
    let items = page["items"].as_array().expect("items");
    let mut kinds: Vec<_> = items
        .iter()
        .map(|item| {
            (item["id"].clone().to_string(), item["kind"].as_str().expect("a kind").to_owned())
        })
        .collect();
    kinds.sort();
    kinds.into_iter().map(|(_, kind)| kind).collect()
}
