//! File, environment and flags: their order of precedence.

use std::path::Path;

use confique::Layer as _;
use streamgate::{
    config::{ConfigLayer, LogFormat, Overflow},
    event::Family,
};

use crate::{
    config::load::{load, load_with},
    support::App,
};

#[test]
fn other_environment_variables_are_ignored() {
    let config = load(
        "",
        &[("STREAMGATE_ADMIN_PASSWORD", "secret"), ("PATH", "/bin"), ("streamgate_x", "1")],
    );
    assert!(config.is_ok(), "{config:?}");
}

#[test]
fn flag_overrides_environment_and_environment_overrides_file() {
    let file = "listen = '127.0.0.1:1'\ndata_dir = 'file'\n[limits]\nstreams_per_user = 1";
    let variables = [("STREAMGATE_LISTEN", "127.0.0.1:2"), ("STREAMGATE_DATA_DIR", "environment")];
    let mut flags = ConfigLayer::empty();
    flags.listen = Some(([127, 0, 0, 1], 3).into());

    let config = load_with(file, &variables, &flags).expect("all values are right");
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.data_dir, Path::new("environment"));
    assert_eq!(config.limits.streams_per_user, 1);
    assert_eq!(config.limits.requests_per_minute, 600);
}

#[test]
fn every_type_of_key_can_come_from_the_environment() {
    let config = load(
        "",
        &[
            ("STREAMGATE_DATABASE__URL", "postgres://host/name"),
            ("STREAMGATE_DATABASE__MIGRATE", "false"),
            ("STREAMGATE_STREAMS__BUFFER_EVENTS", "7"),
            ("STREAMGATE_SERVER__ALLOWED_ORIGINS", "https://a.example, https://b.example"),
            ("STREAMGATE_LOG__FORMAT", "json"),
            (
                "STREAMGATE_SERVER__TRUSTED_PROXIES",
                "10.0.0.7, 2001:db8::/32,::1, 192.168.1.1/16,::ffff:172.16.0.0/108,",
            ),
        ],
    )
    .expect("all values are right");
    assert_eq!(config.database.url.as_deref(), Some("postgres://host/name"));
    assert!(!config.database.migrate);
    assert_eq!(config.streams.buffer_events, 7);
    assert_eq!(config.server.allowed_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(config.log.format, LogFormat::Json);
    let proxies: Vec<String> =
        config.server.trusted_proxies.iter().map(ToString::to_string).collect();
    let expected = "10.0.0.7/32 2001:db8::/32 ::1/128 192.168.1.1/16 172.16.0.0/12";
    assert_eq!(proxies.join(" "), expected);
    let none = load("", &[("STREAMGATE_SERVER__TRUSTED_PROXIES", "")]).expect("no proxies");
    assert_eq!(none.server.trusted_proxies, []);
}

#[tokio::test]
async fn every_family_uses_its_own_configuration_keys() {
    let app = App::with(|config| {
        let (kept, slow) = (&mut config.retention, &mut config.overflow);
        (kept.topology_events, kept.topology_seconds) = (11, 12);
        (kept.notification_events, kept.notification_seconds) = (21, 22);
        (kept.task_events, kept.task_seconds) = (31, 32);
        (kept.prompt_events, kept.prompt_seconds) = (41, 42);
        (kept.mcp_session_events, kept.mcp_session_seconds) = (51, 52);
        slow.topology = Overflow::DropOldest;
        slow.notification = Overflow::DropNew;
        slow.task = Overflow::CloseConnection;
        slow.prompt = Overflow::DropNew;
        slow.mcp_session = Overflow::DropOldest;
    })
    .await;
    for (family, kept, overflow) in [
        (Family::Topology, (11, 12), Overflow::DropOldest),
        (Family::Notification, (21, 22), Overflow::DropNew),
        (Family::Task, (31, 32), Overflow::CloseConnection),
        (Family::Prompt, (41, 42), Overflow::DropNew),
        (Family::McpSession, (51, 52), Overflow::DropOldest),
    ] {
        let settings = app.gateway.settings(family);
        let told = ((settings.0.events, settings.0.seconds), settings.1);
        assert_eq!(told, (kept, overflow), "{family:?}");
    }
    app.finish().await;
}

#[test]
fn public_url_has_one_form() {
    for (text, url) in [
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("HTTPS://Example.com:443/gate/", "https://example.com/gate"),
        ("http://127.0.0.1:8080/a/b//", "http://127.0.0.1:8080/a/b"),
        ("https://[::1]:8443/@a", "https://[::1]:8443/@a"),
    ] {
        let config = load(&format!("server.public_url = '{text}'"), &[]).expect("a public URL");
        assert_eq!(config.server.url("/v1"), format!("{url}/v1"));
    }
    assert_eq!(load("", &[]).expect("the defaults").server.url("/v1"), "/v1");
}
