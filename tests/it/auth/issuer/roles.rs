//! The role of a caller with an external token.

use std::sync::Arc;

use entity::user::Role;
use serde_json::json;
use streamgate::{bus::InProcessBus, config::Config};
use uuid::Uuid;

use crate::support::{App, Store, issuer::TestIssuer};

#[tokio::test]
async fn claims_map_to_a_role_below_the_ceiling() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    for (subject, roles, expected) in [
        ("a", json!(["guest"]), "viewer"),
        ("b", json!(["guest", "staff"]), "operator"),
        ("c", json!("root"), "operator"),
    ] {
        let me = issuer.caller(&app, subject, json!({ "roles": roles })).me().await;
        assert_eq!(me["role"], expected, "{subject}");
    }
    let none = issuer.caller(&app, "d", json!({ "roles": ["other"] }));
    let detail = none.get("/v1/auth/me").await.problem(403);
    assert_eq!(detail, "the issuer gives this user no role of the gateway");
    // An administrator of the issuer is no administrator here.
    issuer.caller(&app, "c", json!({ "roles": "root" })).get("/v1/users").await.problem(403);
    app.finish().await;
}

#[tokio::test]
async fn configured_ceiling_and_default_take_effect() {
    let issuer = TestIssuer::start().await;
    let app = issuer
        .app(json!({ "max_role": "admin", "default_role": "agent", "role_claim": "realm_access.roles" }))
        .await;
    let root = issuer.caller(&app, "a", json!({ "realm_access": { "roles": ["root"] } }));
    assert_eq!(root.me().await["role"], "admin");
    assert_eq!(issuer.caller(&app, "b", json!({})).me().await["role"], "agent");
    app.finish().await;
}

#[tokio::test]
async fn administrator_lowers_the_role_of_an_external_user() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let caller = issuer.caller(&app, "ada", json!({}));
    let id = caller.id().await;
    let admin = app.log_in("admin").await;
    let path = format!("/v1/users/{id}");
    admin.call(reqwest::Method::PATCH, &path, Some(json!({ "role": "viewer" }))).await.ok();
    assert_eq!(caller.me().await["role"], "viewer");
    app.finish().await;
}

#[tokio::test]
async fn newer_token_with_a_lower_role_ends_streams() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({ "max_role": "admin" })).await;
    let admin = issuer.caller(&app, "ada", json!({ "roles": "root" }));
    let operator = app.caller(Role::Operator).await;
    let topology: Uuid = app.active_topology(&operator).await;
    let mut reader = admin.watch(topology, "").await;
    reader.expect("snapshot").await;
    let exp = issuer.claims("ada")["exp"].as_i64().expect("a number") + 60;
    let newer = issuer.caller(&app, "ada", json!({ "roles": "staff", "exp": exp }));
    assert_eq!(newer.me().await["role"], "operator");
    assert_eq!(reader.expect("stream.closed").await.data["reason"], "role_lowered");
    reader.expect_end().await;
    // The older token has the lower role too.
    assert_eq!(admin.me().await["role"], "operator");
    app.finish().await;
}

#[tokio::test]
async fn role_can_change_within_the_second_of_a_token() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let exp = issuer.claims("ada")["exp"].clone();
    for (roles, role) in [("guest", "viewer"), ("staff", "operator"), ("guest", "viewer")] {
        let change = json!({ "roles": roles, "exp": exp });
        assert_eq!(issuer.caller(&app, "ada", change).me().await["role"], role);
    }
    app.finish().await;
}

#[tokio::test]
async fn older_token_keeps_its_lower_role() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({ "max_role": "admin" })).await;
    let viewer = issuer.caller(&app, "ada", json!({ "roles": "guest" }));
    assert_eq!(viewer.me().await["role"], "viewer");
    let exp = issuer.claims("ada")["exp"].as_i64().expect("a number") + 60;
    let admin = issuer.caller(&app, "ada", json!({ "roles": "root", "exp": exp }));
    let topology = app.active_topology(&admin).await;
    let mut reader = admin.watch(topology, "").await;
    reader.expect("snapshot").await;
    assert_eq!(viewer.me().await["role"], "viewer");
    let mut second = viewer.watch(topology, "").await;
    second.expect("snapshot").await;
    // The stream of the lower token has not changed the role of the other stream.
    admin.mutate(topology, 1).await.ok();
    reader.expect("mutation.enqueued").await;
    second.expect("mutation.enqueued").await;
    drop((reader, second));
    app.finish().await;
}

#[tokio::test]
async fn lower_role_ends_streams_of_another_gateway() {
    let issuer = TestIssuer::start().await;
    let change = |config: &mut Config| {
        config.streams.heartbeat_seconds = 60;
        config.auth.issuers = vec![issuer.config(json!({ "max_role": "admin" }))];
    };
    let (store, bus) = (Store::new().await, Arc::new(InProcessBus::default()));
    let one = App::on(store.clone(), bus.clone(), change).await;
    let two = App::on(store, bus, change).await;
    let topology = one.active_topology(&one.caller(Role::Operator).await).await;
    let admin = issuer.caller(&two, "ada", json!({ "roles": "root" }));
    let mut reader = admin.watch(topology, "").await;
    reader.expect("snapshot").await;
    let exp = issuer.claims("ada")["exp"].as_i64().expect("a number") + 60;
    issuer.caller(&one, "ada", json!({ "roles": "staff", "exp": exp })).me().await;
    assert_eq!(reader.expect("stream.closed").await.data["reason"], "role_lowered");
    reader.expect_end().await;
    two.finish().await;
    one.finish().await;
}
