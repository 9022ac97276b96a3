//! `PATCH /v1/users/{id}`: each change takes effect at the next request.

use entity::user::Role;
use reqwest::Method;
use serde_json::json;

use crate::support::{
    App, PASSWORD,
    auth::{bearer, invalid_token},
    user::{delete, update},
};

#[tokio::test]
async fn new_password_ends_the_sessions_of_the_old_one() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let id = app.create_user("ada", Role::Viewer).await.id;
    let (pair, caller) = (app.tokens("ada").await, app.log_in("ada").await);
    update(&admin, id, json!({ "password": "another password" })).await.ok();
    assert_eq!(invalid_token(caller.get("/v1/auth/me").await), "the login session has ended");
    let refresh = json!({ "refresh_token": pair["refresh_token"] });
    invalid_token(app.anyone().post("/v1/auth/refresh", refresh).await);
    let login = |password: &str| json!({ "username": "ada", "password": password });
    invalid_token(app.anyone().post("/v1/auth/login", login(PASSWORD)).await);
    app.anyone().post("/v1/auth/login", login("another password")).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn enabling_a_user_again_restores_no_session() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let topology = app.active_topology(&admin).await;
    let id = app.create_user("ada", Role::Operator).await.id;
    let pair = app.tokens("ada").await;
    let caller = bearer(&app, pair["access_token"].as_str().expect("a token"));
    let minted = caller.mint(topology).await;
    let url = minted["url"].as_str().expect("a URL");
    for disabled in [true, false, true, false] {
        update(&admin, id, json!({ "disabled": disabled })).await.ok();
        let detail = if disabled { "the user is disabled" } else { "the login session has ended" };
        let refresh = json!({ "refresh_token": pair["refresh_token"] });
        for answer in [
            caller.get("/v1/auth/me").await,
            app.anyone().post("/v1/auth/refresh", refresh).await,
            app.anyone().get(url).await,
        ] {
            assert_eq!(invalid_token(answer), detail);
        }
    }
    app.log_in("ada").await.me().await;
    app.finish().await;
}

#[tokio::test]
async fn user_update_takes_effect_at_the_next_request() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let caller = app.caller(Role::Viewer).await;
    let id = caller.id().await;
    caller.get("/v1/users").await.problem(403);
    update(&admin, id, json!({ "role": "admin" })).await.ok();
    caller.get("/v1/users").await.ok();
    update(&admin, id, json!({ "role": "viewer" })).await.ok();
    caller.get("/v1/users").await.problem(403);
    update(&admin, id, json!({ "disabled": true })).await.ok();
    assert_eq!(invalid_token(caller.get("/v1/auth/me").await), "the user is disabled");
    update(&admin, id, json!({ "disabled": false })).await.ok();
    assert_eq!(invalid_token(caller.get("/v1/auth/me").await), "the login session has ended");
    let name = app.gateway.users.find(id).await.expect("a user").username;
    let caller = app.log_in(&name).await;
    admin.call(Method::POST, &format!("/v1/users/{id}/revoke"), None).await.ok();
    assert_eq!(invalid_token(caller.get("/v1/auth/me").await), "the login session has ended");
    delete(&admin, id).await.ok();
    assert_eq!(invalid_token(caller.get("/v1/auth/me").await), "the login session has ended");
    app.finish().await;
}
