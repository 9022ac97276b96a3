//! Header fields of every response, and an internal fault that shows no details.

use sea_orm::ConnectionTrait;
use serde_json::json;
use uuid::Uuid;

use crate::support::{App, PASSWORD, raw::problem};

#[tokio::test]
async fn internal_fault_shows_the_request_id_and_nothing_else() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let database = app.gateway.database.writer();
    database.execute_unprepared("DROP TABLE refresh_token").await.expect("a broken database");
    let login = json!({ "username": "admin", "password": PASSWORD });
    let first = admin.post("/v1/auth/login", login.clone()).await;
    let second = admin.post("/v1/auth/login", login).await;
    assert_ne!(first.body["instance"], second.body["instance"]);
    for answer in [first, second] {
        assert_eq!(problem(answer, 500, "internal"), "an internal error of the gateway");
    }
    // Two requests failed, but the service continues.
    admin.me().await;
    app.finish().await;
}

#[tokio::test]
async fn every_response_has_a_unique_id_and_forbids_caching() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let mut ids = std::collections::BTreeSet::new();
    for path in
        ["/v1/users", "/v1/users", "/nothing", "/health/live", "/.well-known/jwks.json", "/metrics"]
    {
        let answer = admin.get(path).await;
        let text = |name: &str| answer.headers[name].to_str().expect("text").to_owned();
        let id: Uuid = text("x-request-id").parse().expect("a UUID");
        assert!(ids.insert(id), "{path}");
        assert_eq!(text("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(text("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(text("cache-control"), "no-store", "{path}");
    }
    app.finish().await;
}
