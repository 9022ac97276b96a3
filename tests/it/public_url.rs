//! `server.public_url`, and a gateway below a path prefix.

use entity::user::Role;
use reqwest::Url;
use serde_json::{Value, json};

use crate::support::{App, Caller, prefix_proxy::PrefixProxy, prompt, soon};

/// Starts a gateway behind a proxy that strips a prefix. `suffix` ends the public URL of the configuration.
async fn below_a_prefix(suffix: Option<&str>) -> (App, PrefixProxy) {
    let (listener, base) = PrefixProxy::listen().await;
    let app = App::with(|config| {
        config.server.public_url =
            suffix.map(|suffix| format!("{base}{suffix}").parse().expect("a public URL"));
    })
    .await;
    let proxy = PrefixProxy::start((listener, base), app.address);
    (app, proxy)
}

/// Fetches a document as a client of the proxy. Returns the base URL of its operations, which a client resolves against
/// the URL of the document (OpenAPI 3.2, section "Server Object").
async fn server_of(document: &str) -> String {
    let answer = soon("a document", reqwest::get(document)).await.expect("a document");
    let body: Value = soon("JSON", answer.json()).await.expect("JSON");
    let servers = body["servers"].as_array().expect("servers");
    assert_eq!(servers.len(), 1);
    let relative = servers[0]["url"].as_str().expect("a URL");
    let url = Url::parse(document).and_then(|base| base.join(relative)).expect("a URL");
    url.as_str().trim_end_matches('/').to_owned()
}

/// Mints a token in each way. Returns the URLs.
async fn minted(app: &App) -> Vec<String> {
    let owner = app.caller(Role::Operator).await;
    let topology = app.active_topology(&owner).await;
    let prompt = prompt::create(&owner).await;
    let mut urls = Vec::new();
    for (path, wanted) in [
        ("/v1/stream-tokens".to_owned(), json!({ "family": "topology", "id": topology })),
        ("/v1/stream-tokens".to_owned(), json!({ "topics": [format!("topology.{topology}")] })),
        (format!("{}/stream-token", prompt.path), json!({})),
    ] {
        let minted = owner.post(&path, wanted).await.ok();
        urls.push(minted["url"].as_str().expect("a URL").to_owned());
    }
    urls
}

/// Opens a stream and expects its first event.
async fn expect_stream(url: &str) {
    let request = reqwest::Client::new().get(format!("{url}&max_events=1"));
    let answer = Caller::answer(request).await;
    assert_eq!(answer.status, 200, "{url}: {answer:?}");
    assert!(answer.body.as_str().expect("text").contains("event: snapshot"), "{url}");
}

#[tokio::test]
async fn gateway_below_a_prefix_works_without_a_public_url() {
    let (app, proxy) = below_a_prefix(None).await;
    let base = &proxy.base;
    for file in ["openapi.json", "openapi-3.2.json"] {
        assert_eq!(server_of(&format!("{base}/{file}")).await, *base);
        assert_eq!(server_of(&app.url(&format!("/{file}"))).await, app.url(""));
    }
    for url in minted(&app).await {
        assert!(url.starts_with("/v1/"), "{url}");
        expect_stream(&format!("{base}{url}")).await;
    }
    app.finish().await;
}

#[tokio::test]
async fn public_url_is_in_documents_and_minted_urls() {
    for suffix in ["", "/", "//"] {
        let (app, proxy) = below_a_prefix(Some(suffix)).await;
        let base = &proxy.base;
        for file in ["openapi.json", "openapi-3.2.json"] {
            assert_eq!(server_of(&app.url(&format!("/{file}"))).await, *base);
        }
        let page = app.anyone().get("/docs").await.body;
        let servers = format!("\"servers\":[{{\"url\":\"{base}\"}}]");
        assert!(page.as_str().expect("a page").contains(&servers));
        for url in minted(&app).await {
            assert!(url.starts_with(&format!("{base}/v1/")), "{url}");
            expect_stream(&url).await;
        }
        app.finish().await;
    }
}
