//! `GET /v1/audit-events`: security events, and the log lines of the same events.

use std::{future::ready, pin::pin, time::Duration};

use entity::{Timestamp, user::Role};
use reqwest::Method;
use serde_json::{Value, json};
use streamgate::{
    audit::{AuditEvent, AuditFilter, AuditKind, AuditLog},
    database::Database,
};

use crate::support::{
    App, Caller, PASSWORD, Store,
    auth::{bearer, refresh},
    id_of,
    log::Log,
    time::Time,
    until,
};

/// The events of this kind, newest first.
async fn events(admin: &Caller, query: &str) -> Vec<Value> {
    let page = admin.get(&format!("/v1/audit-events?{query}")).await.ok();
    page["items"].as_array().expect("items").clone()
}

async fn only(admin: &Caller, kind: &str) -> Value {
    let found = events(admin, &format!("kind={kind}")).await;
    let [event] = &found[..] else { panic!("one {kind}: {found:?}") };
    event.clone()
}

#[tokio::test]
async fn logins_and_refusals_name_the_user_and_the_address() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let me = admin.me().await;
    let event = only(&admin, "login.succeeded").await;
    for (name, value) in [
        ("user_id", &me["id"]),
        ("actor_id", &me["id"]),
        ("session_id", &me["session_id"]),
        ("address", &json!("127.0.0.1")),
        ("data", &json!({ "cookie": false })),
    ] {
        assert_eq!(&event[name], value, "{name}");
    }
    for (username, user) in [("admin", Some(&me["id"])), ("nobody", None)] {
        let login = json!({ "username": username, "password": "wrong password" });
        app.anyone().post("/v1/auth/login", login).await.problem(401);
        let event = events(&admin, "kind=login.failed").await.remove(0);
        assert_eq!(event.get("user_id"), user);
        assert_eq!(event.get("actor_id"), None);
        // A user may have typed the password into the wrong field.
        assert!(!event.to_string().contains("nobody"));
    }
    app.finish().await;
}

#[tokio::test]
async fn changes_of_users_and_keys_are_events() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let admin_id = admin.id().await;
    let new = json!({ "username": "grace", "password": PASSWORD, "role": "viewer" });
    let user = id_of(&admin.post("/v1/users", new).await.ok());
    let path = format!("/v1/users/{user}");
    let change = json!({ "role": "operator", "password": "another password", "disabled": true });
    admin.call(Method::PATCH, &path, Some(change)).await.ok();
    admin
        .call(Method::PATCH, &path, Some(json!({ "disabled": false, "role": "operator" })))
        .await
        .ok();
    admin.call(Method::POST, &format!("{path}/revoke"), None).await.ok();
    let key = admin.post("/v1/api-keys", json!({ "name": "worker" })).await.ok();
    let key_path = format!("/v1/api-keys/{}", id_of(&key));
    admin.post(&format!("{key_path}/rotate"), json!({})).await.ok();
    admin.call(Method::DELETE, &key_path, None).await.ok();
    admin.call(Method::DELETE, &path, None).await.ok();
    let about = events(&admin, &format!("user_id={user}")).await;
    let kinds: Vec<_> = about.iter().map(|event| event["kind"].as_str().expect("a kind")).collect();
    assert_eq!(
        kinds,
        [
            "user.deleted",
            "user.sessions_revoked",
            "user.enabled",
            "user.disabled",
            "user.password_changed",
            "user.role_changed",
            "user.created",
        ]
    );
    assert!(about.iter().all(|event| event["actor_id"] == json!(admin_id)), "{about:?}");
    assert_eq!(about[5]["data"], json!({ "from": "viewer", "to": "operator" }));
    for kind in ["api_key.created", "api_key.rotated", "api_key.deleted"] {
        let event = only(&admin, kind).await;
        assert_eq!(event["data"], json!({ "api_key_id": key["id"], "name": "worker" }));
        assert!(!event.to_string().contains("sgk_"), "{event}");
    }
    app.finish().await;
}

#[tokio::test]
async fn key_used_from_a_new_network_is_an_event() {
    let app = App::with(|config| {
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let admin = app.log_in("admin").await;
    let key = admin.post("/v1/api-keys", json!({ "name": "worker" })).await.ok();
    let text = key["key"].as_str().expect("a key");
    let me = async |address: &str| {
        let request = app.anyone().request(Method::GET, "/v1/auth/me").bearer_auth(text);
        Caller::answer(request.header("x-forwarded-for", address)).await.ok();
    };
    // The first use is no surprise, and a network of IPv6 is one place.
    for address in ["203.0.113.7", "203.0.113.7", "2001:db8::1", "2001:db8::2", "203.0.113.7"] {
        me(address).await;
    }
    let event = only(&admin, "api_key.new_address").await;
    assert_eq!((&event["address"], &event["session_id"]), (&json!("2001:db8::1"), &key["id"]));
    let shown = admin.get(&format!("/v1/api-keys/{}", id_of(&key))).await.ok();
    assert_eq!(shown["last_used_address"], "2001:db8::2");
    app.finish().await;
}

#[tokio::test]
async fn events_are_also_lines_in_the_log() {
    let log = Log::default();
    let logging = log.start();
    let app = App::start().await;
    let pair = app.tokens("admin").await;
    app.finish().await;
    drop(logging);
    let lines = log.lines();
    let line = lines.iter().find(|line| line["kind"] == "login.succeeded").expect("a line");
    assert_eq!(line["target"], "streamgate::security");
    assert_eq!(line["address"], "127.0.0.1");
    let text = json!(lines).to_string();
    for name in ["access_token", "refresh_token"] {
        assert!(!text.contains(pair[name].as_str().expect("a token")), "{name}");
    }
}

#[tokio::test]
async fn administrators_page_through_the_events() {
    let app = App::start().await;
    for _ in 0..5 {
        let pair = app.tokens("admin").await;
        refresh(&app, &pair).await.ok();
    }
    let admin = app.log_in("admin").await;
    let mut seen = Vec::new();
    let mut path = "/v1/audit-events?limit=4".to_owned();
    loop {
        let page = admin.get(&path).await.ok();
        let items = page["items"].as_array().expect("items");
        seen.extend(items.iter().map(id_of));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/audit-events?limit=4&after={next}");
    }
    assert_eq!(seen.len(), 6);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
    admin.get("/v1/audit-events?kind=nothing").await.problem(400);
    app.caller(Role::Operator).await.get("/v1/audit-events").await.problem(403);
    app.finish().await;
}

#[tokio::test]
async fn events_are_deleted_after_their_retention() {
    let app = App::with(|config| {
        config.retention.audit_seconds = 100;
        config.retention.sweep_seconds = 1;
    })
    .await;
    let admin = app.log_in("admin").await;
    assert_eq!(events(&admin, "").await.len(), 1);
    let time: &Time = &app.time;
    time.pass(Duration::from_secs(200));
    until("deletion", async || events(&admin, "").await.is_empty()).await;
    app.finish().await;
}

#[tokio::test]
async fn refused_logins_do_not_fill_the_table() {
    let app = App::start().await;
    for name in ["a", "b", "c", "d"] {
        let login = json!({ "username": name, "password": "wrong password" });
        app.anyone().post("/v1/auth/login", login).await.problem(401);
    }
    let admin = app.log_in("admin").await;
    let long_ago = Timestamp::now() - Duration::from_hours(1);
    let most = [(AuditKind::LoginFailed, 3)];
    assert_eq!(app.gateway.audit.prune(long_ago, &most).await.expect("a sweep"), 1);
    assert_eq!(app.gateway.audit.prune(long_ago, &most).await.expect("a sweep"), 0);
    let left = admin.get("/v1/audit-events?kind=login.failed").await.ok();
    assert_eq!(left["items"].as_array().expect("items").len(), 3);
    only(&admin, "login.succeeded").await;
    app.finish().await;
}

#[tokio::test]
async fn key_for_some_families_sees_nothing_of_administrators() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    for (families, status) in [(json!(["task"]), 403), (Value::Null, 200)] {
        let mut new = json!({ "name": "k", "role": "admin" });
        if families.is_array() {
            new["families"] = families;
        }
        let key = admin.post("/v1/api-keys", new).await.ok();
        let key = bearer(&app, key["key"].as_str().expect("a key"));
        for path in ["/v1/audit-events", "/v1/admin/latency"] {
            assert_eq!(key.get(path).await.status, status, "{path}");
        }
    }
    app.finish().await;
}

/// Otherwise a busy log would write a few events at a time, and wait for the disk each time.
#[tokio::test]
async fn events_added_during_a_write_wait_for_the_next() {
    let store = Store::new().await;
    let url = store.url();
    let database = Database::connect(url.as_deref(), store.directory.path(), 1);
    let database = database.await.expect("a database");
    database.migrate().await.expect("a schema");
    let log = AuditLog::new(database);
    let add = || {
        log.record_in_background(AuditEvent {
            kind: AuditKind::ToolCalled,
            user: None,
            actor: None,
            session: None,
            address: None,
            data: json!({}),
        });
    };
    let written = async || log.list(AuditFilter::default(), 100).await.expect("a list").len();
    // More than one statement takes.
    for _ in 0..50 {
        add();
    }
    {
        let mut write = pin!(log.write_waiting());
        tokio::select! {
            biased;
            _ = &mut write => panic!("the database does not answer at once"),
            () = ready(()) => add(),
        }
        write.await.expect("a write");
    }
    assert_eq!(written().await, 50);
    log.write_waiting().await.expect("a write");
    assert_eq!(written().await, 51);
}
