//! Gateways behind proxies: the address that counts as the client's, and the peers that may name
//! it. All connections of these tests come from 127.0.0.1.

use entity::user::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, App, Caller, PASSWORD, log::Log};

/// Starts a gateway behind proxies in these networks.
async fn behind(networks: &[&str], change: impl FnOnce(&mut streamgate::config::Config)) -> App {
    App::with(|config| {
        config.server.trusted_proxies =
            networks.iter().map(|network| network.parse().expect("a network")).collect();
        change(config);
    })
    .await
}

/// Logs in with these header fields.
async fn log_in(app: &App, password: &str, fields: &[(&str, &str)]) -> Answer {
    let request = app.anyone().request(Method::POST, "/v1/auth/login");
    let login = json!({ "username": "admin", "password": password });
    let request = fields
        .iter()
        .fold(request.json(&login), |request, (name, value)| request.header(*name, *value));
    Caller::answer(request).await
}

#[tokio::test]
async fn client_behind_a_trusted_proxy_locks_out_no_other_client() {
    let limit = |config: &mut streamgate::config::Config| {
        config.limits.logins_per_minute_per_address = 3;
    };
    let app = behind(&["127.0.0.1/32"], limit).await;
    for _ in 0..3 {
        log_in(&app, "wrong", &[("X-Forwarded-For", "203.0.113.9")]).await.problem(401);
    }
    log_in(&app, PASSWORD, &[("X-Forwarded-For", "203.0.113.9")]).await.problem(429);
    // Another address before the client's in the field does not help.
    log_in(&app, PASSWORD, &[("X-Forwarded-For", "198.51.100.1, 203.0.113.9")]).await.problem(429);
    log_in(&app, PASSWORD, &[("Forwarded", "for=\"203.0.113.9:4711\"")]).await.problem(429);
    for fields in [
        &[("X-Forwarded-For", "198.51.100.1")][..],
        &[("Forwarded", "for=198.51.100.2;proto=https")],
        // A client without a proxy has an address as well.
        &[],
    ] {
        log_in(&app, PASSWORD, fields).await.ok();
    }
    // Refreshes count for the same address.
    let request = app.anyone().request(Method::POST, "/v1/auth/refresh");
    let request = request.json(&json!({ "refresh_token": "x" }));
    Caller::answer(request.header("X-Forwarded-For", "203.0.113.9")).await.problem(429);
    app.finish().await;
}

#[tokio::test]
async fn forwarded_fields_from_untrusted_peers_are_ignored() {
    for networks in [&[][..], &["10.0.0.0/8"]] {
        let limit = |config: &mut streamgate::config::Config| {
            config.limits.logins_per_minute_per_address = 3;
        };
        let app = behind(networks, limit).await;
        for number in 0..3 {
            let address = format!("203.0.113.{number}");
            log_in(&app, "wrong", &[("X-Forwarded-For", &address)]).await.problem(401);
        }
        let fields = [("Forwarded", "for=203.0.113.8"), ("X-Forwarded-For", "203.0.113.9")];
        log_in(&app, PASSWORD, &fields).await.problem(429);
        app.finish().await;
    }
}

#[tokio::test]
async fn connection_lists_the_address_of_its_client() {
    let app = behind(&["127.0.0.0/8", "10.0.0.0/8"], |_| ()).await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let path = format!("/v1/topologies/{topology}/stream");
    for (fields, address) in [
        ("", "127.0.0.1"),
        ("X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"),
        ("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.9, 10.1.2.3\r\n", "203.0.113.9"),
        ("X-Forwarded-For: ::ffff:203.0.113.9\r\n", "203.0.113.9"),
        ("Forwarded: for=6.6.6.6, for=\"[2001:db8::9]:1\"\r\n", "2001:db8::9"),
        ("Forwarded: for=203.0.113.9\r\nX-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"),
        ("Forwarded: for=unknown\r\n", "127.0.0.1"),
        ("X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: \u{e9}\r\n", "127.0.0.1"),
    ] {
        let mut stream = operator.stream(&path, fields).await;
        stream.expect("snapshot").await;
        let open = operator.get("/v1/connections").await.ok();
        let id = stream.header("x-request-id").expect("an id");
        let items = open["items"].as_array().expect("items");
        let own = items.iter().find(|connection| connection["id"] == id).expect("it is open");
        assert_eq!(own["address"], address, "{fields}");
    }
    app.finish().await;
}

#[tokio::test]
async fn contradicting_forwarded_fields_are_refused() {
    let app = behind(&["127.0.0.1/32"], |_| ()).await;
    let fields = [("Forwarded", "for=198.51.100.1"), ("X-Forwarded-For", "203.0.113.9")];
    let detail = log_in(&app, PASSWORD, &fields).await.problem(400);
    assert_eq!(detail, "Forwarded and X-Forwarded-For name different clients");
    app.finish().await;
}

#[tokio::test]
async fn log_names_the_client_of_every_request() {
    let log = Log::default();
    let logging = log.start();
    let app = behind(&["127.0.0.1/32"], |_| ()).await;
    let fields = [("Forwarded", "for=6.6.6.6, for=203.0.113.9;proto=https")];
    log_in(&app, PASSWORD, &fields).await.ok();
    app.finish().await;
    drop(logging);
    let lines = log.lines();
    let of_login = |line: &&Value| line["path"] == "/v1/auth/login";
    let line = lines.iter().find(of_login).unwrap_or_else(|| panic!("no login: {lines:?}"));
    assert_eq!((&line["address"], &line["scheme"]), (&json!("203.0.113.9"), &json!("https")));
}
