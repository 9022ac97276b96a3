//! The users of external issuers: keyed by (issuer, `sub`), and never matched by a name.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{App, PASSWORD, issuer::TestIssuer};

async fn user(app: &App, id: uuid::Uuid) -> Value {
    app.log_in("admin").await.get(&format!("/v1/users/{id}")).await.ok()
}

#[tokio::test]
async fn external_user_appears_with_the_first_token() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let caller = issuer.caller(&app, "ada", json!({ "preferred_username": "Ada\u{7}\u{85} L. " }));
    let me = caller.me().await;
    let row = user(&app, caller.id().await).await;
    assert_eq!(row["username"], me["username"]);
    assert!(row["username"].as_str().expect("a name").starts_with("ext-"), "{row}");
    assert_eq!((&row["issuer"], &row["subject"]), (&json!(issuer.url()), &json!("ada")));
    assert_eq!((&row["display_name"], &row["role"]), (&json!("Ada L."), &json!("operator")));
    assert_eq!((&me["display_name"], &me["issuer"]), (&row["display_name"], &row["issuer"]));
    // The name follows the claim, and is cut.
    let renamed = issuer.caller(&app, "ada", json!({ "preferred_username": "b".repeat(300) }));
    renamed.me().await;
    let name = user(&app, caller.id().await).await["display_name"].clone();
    assert_eq!(name, "b".repeat(256));
    // A token without a name keeps it.
    issuer.caller(&app, "ada", json!({ "preferred_username": "" })).me().await;
    assert_eq!(user(&app, caller.id().await).await["display_name"], name);
    app.finish().await;
}

#[tokio::test]
async fn external_name_never_matches_a_local_user() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({ "max_role": "admin" })).await;
    let admin = app.log_in("admin").await;
    let external = issuer.caller(&app, "admin", json!({ "preferred_username": "admin" }));
    assert_ne!(external.id().await, admin.id().await);
    let other = issuer.caller(&app, "grace", json!({ "preferred_username": "admin" }));
    assert_ne!(other.id().await, external.id().await);
    let local = admin.id().await.to_string();
    assert_ne!(issuer.caller(&app, &local, json!({})).id().await.to_string(), local);
    app.finish().await;
}

#[tokio::test]
async fn external_user_has_no_password() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let caller = issuer.caller(&app, "ada", json!({}));
    let (id, me) = (caller.id().await, caller.me().await);
    let admin = app.log_in("admin").await;
    let change = json!({ "password": PASSWORD });
    let answer = admin.call(Method::PATCH, &format!("/v1/users/{id}"), Some(change)).await;
    assert_eq!(answer.problem(409), "a user of an external issuer has no password");
    for password in ["", PASSWORD] {
        let login = json!({ "username": me["username"], "password": password });
        let answer = app.anyone().post("/v1/auth/login", login).await;
        assert!(matches!(answer.status.as_u16(), 400 | 401), "{answer:?}");
    }
    app.finish().await;
}

#[tokio::test]
async fn administrator_creates_external_users_before_their_first_token() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({ "create_users": false })).await;
    let caller = issuer.caller(&app, "ada", json!({}));
    let detail = caller.get("/v1/auth/me").await.problem(403);
    assert_eq!(detail, "the user of this token does not exist here");
    let admin = app.log_in("admin").await;
    let new = |name: &str| {
        json!({
            "username": name,
            "role": "agent",
            "external": { "issuer": issuer.url(), "subject": "ada" },
        })
    };
    let created = admin.post("/v1/users", new("ada")).await.ok();
    assert_eq!(created["subject"], "ada");
    let detail = admin.post("/v1/users", new("ada-2")).await.problem(409);
    assert_eq!(detail, "another user has this subject of the issuer");
    let me = caller.me().await;
    assert_eq!((&me["username"], &me["role"]), (&json!("ada"), &json!("agent")));
    // Exactly one of the two credentials, and only a configured issuer.
    let mut both = new("grace");
    both["password"] = json!(PASSWORD);
    let neither = json!({ "username": "grace", "role": "agent" });
    for wrong in [both, neither] {
        let detail = admin.post("/v1/users", wrong).await.problem(400);
        assert_eq!(detail, "send either password or external");
    }
    let mut other = new("grace");
    other["external"]["issuer"] = json!("https://elsewhere.example");
    let detail = admin.post("/v1/users", other).await.problem(400);
    assert_eq!(detail, "this issuer is not configured");
    app.finish().await;
}

#[tokio::test]
async fn deleted_external_user_starts_over() {
    let issuer = TestIssuer::start().await;
    let app = issuer.app(json!({})).await;
    let caller = issuer.caller(&app, "ada", json!({}));
    let id = caller.id().await;
    let admin = app.log_in("admin").await;
    admin.call(Method::DELETE, &format!("/v1/users/{id}"), None).await.ok();
    assert_ne!(caller.id().await, id);
    app.finish().await;
}
