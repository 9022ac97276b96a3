//! Readiness: the health of issuers and OAuth providers.

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::net::TcpListener;

use crate::support::{
    App,
    health::dependency,
    issuer::TestIssuer,
    provider::{TestProvider, with_providers},
    until,
};

const DISCOVERY: &str = "/.well-known/openid-configuration";

async fn status(app: &App) -> Value {
    app.anyone().get("/health/ready").await.ok()["status"].clone()
}

/// Waits until the dependency has this status or cause.
async fn becomes(app: &App, name: &str, expected: &str) -> Value {
    until(expected, async || {
        let found = dependency(app, name).await;
        found["status"] == expected || found["cause"] == expected
    })
    .await;
    dependency(app, name).await
}

fn time(dependency: &Value, name: &str) -> OffsetDateTime {
    let text = dependency[name].as_str().expect("a time");
    OffsetDateTime::parse(text, &Rfc3339).expect("a time")
}

#[tokio::test]
async fn outage_of_an_upstream_degrades_readiness_only() {
    let (issuer, provider) = (TestIssuer::start().await, TestProvider::start().await);
    let configured = issuer.config(json!({}));
    let mut discovered = provider.config("discovered");
    (discovered.issuer, discovered.authorization_url, discovered.token_url) =
        (Some(provider.url()), None, None);
    let app = App::with(|config| {
        config.streams.heartbeat_seconds = 1;
        config.auth.issuers = vec![configured];
        with_providers(config, vec![provider.config("github"), discovered]);
    })
    .await;
    let issuer_name = issuer.url();
    for name in [&*issuer_name, "github", "discovered"] {
        becomes(&app, name, "up").await;
    }
    let ready = app.anyone().get("/health/ready").await.ok();
    assert_eq!(ready["status"], "up");
    let all = ready["dependencies"].as_array().expect("dependencies");
    let named: Vec<_> = all.iter().map(|one| (&one["kind"], &one["name"])).collect();
    let expected = [
        ("database", "database"),
        ("bus", "bus"),
        ("issuer", &*issuer_name),
        ("provider", "github"),
        ("provider", "discovered"),
    ];
    let expected = expected.map(|(kind, name)| (json!(kind), json!(name)));
    assert_eq!(named, expected.each_ref().map(|(kind, name)| (kind, name)));
    for one in all {
        assert!(one["latency_ms"].as_f64() > Some(0.0), "{one}");
        assert!(time(one, "since") <= time(one, "checked_at"), "{one}");
        assert!(one.get("cause").is_none(), "{one}");
    }
    let before = dependency(&app, "github").await;
    until("next check", async || {
        dependency(&app, "github").await["checked_at"] != before["checked_at"]
    })
    .await;
    assert_eq!(dependency(&app, "github").await["since"], before["since"]);

    issuer.set_down(true);
    provider.answers().is_down = true;
    for (kind, name) in
        [("issuer", &*issuer_name), ("provider", "github"), ("provider", "discovered")]
    {
        let down = becomes(&app, name, "down").await;
        assert_eq!(down["cause"], "error_status");
        assert!(time(&down, "since") > time(&before, "since"), "{down}");
        let metric = format!("streamgate_upstream_up{{kind=\"{kind}\",name=\"{name}\"}}");
        assert!(app.metric(&metric).abs() < f64::EPSILON);
    }
    assert_eq!(status(&app).await, "degraded");
    for (index, name) in ["database", "bus"].into_iter().enumerate() {
        assert_eq!(dependency(&app, name).await["since"], all[index]["since"], "{name}");
    }
    issuer.set_down(false);
    provider.answers().is_down = false;
    for name in [&*issuer_name, "github", "discovered"] {
        becomes(&app, name, "up").await;
    }
    assert_eq!(status(&app).await, "up");
    let report = app.log_in("admin").await.get("/v1/admin/latency").await.ok();
    let checks = report["items"].as_array().expect("items");
    let checks = checks.iter().find(|item| item["name"] == "provider_check").expect("checks");
    assert!(checks["count"].as_u64() >= Some(6), "{checks}");
    app.finish().await;
}

#[tokio::test]
async fn upstream_that_is_down_has_a_cause() {
    let (issuer, provider) = (TestIssuer::start().await, TestProvider::start().await);
    // A listener that accepts no connection does not answer.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let closed = free.local_addr().expect("an address");
    drop(free);
    issuer.set_discovery(Some("https://other.example.com".to_owned()), None);
    provider.answers().discovery.insert("token_endpoint".to_owned(), json!("nothing"));
    let at = |name: &str, token_url: String| {
        let mut found = provider.config(name);
        found.token_url = Some(token_url.parse().expect("a URL"));
        found
    };
    let mut private = at("private", format!("https://{closed}/token"));
    private.private_network = false;
    let mut invalid = provider.config("invalid");
    (invalid.issuer, invalid.authorization_url, invalid.token_url) =
        (Some(provider.url()), None, None);
    let silent_address = silent.local_addr().expect("an address");
    let providers = vec![
        at("closed", format!("http://{closed}/token")),
        at("silent", format!("http://{silent_address}/token")),
        private,
        invalid,
    ];
    let configured = issuer.config(json!({}));
    let app = App::with(|config| {
        config.auth.issuers = vec![configured];
        with_providers(config, providers);
    })
    .await;
    becomes(&app, &issuer.url(), "other_issuer").await;
    becomes(&app, "closed", "unreachable").await;
    becomes(&app, "private", "not_allowed").await;
    becomes(&app, "invalid", "invalid_response").await;
    becomes(&app, "silent", "timeout").await;
    assert_eq!(status(&app).await, "degraded");
    app.finish().await;
}

#[tokio::test]
async fn readiness_probe_causes_no_request_to_an_upstream() {
    let (issuer, provider) = (TestIssuer::start().await, TestProvider::start().await);
    let configured = issuer.config(json!({}));
    let app = App::with(|config| {
        config.streams.heartbeat_seconds = 60;
        config.auth.issuers = vec![configured];
        with_providers(config, vec![provider.config("github")]);
    })
    .await;
    becomes(&app, &issuer.url(), "up").await;
    becomes(&app, "github", "up").await;
    for _ in 0..50 {
        assert_eq!(status(&app).await, "up");
    }
    assert_eq!((issuer.requests(DISCOVERY), provider.answers().checks), (1, 1));
    app.finish().await;
}
