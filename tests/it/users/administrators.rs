//! Only administrators manage users, and one of them always remains.

use entity::user::Role;
use serde_json::json;

use crate::support::{
    App,
    user::{delete, update},
};

#[tokio::test]
async fn only_an_administrator_manages_users() {
    let app = App::start().await;
    for role in [Role::Viewer, Role::Agent, Role::Operator] {
        let caller = app.caller(role).await;
        let own = caller.id().await;
        // Users do not manage themselves either.
        let detail = caller.get(&format!("/v1/users/{own}")).await.problem(403);
        assert_eq!(detail, "this operation requires the role admin");
        update(&caller, own, json!({ "role": "admin" })).await.problem(403);
        caller.get("/v1/users").await.problem(403);
    }
    app.finish().await;
}

#[tokio::test]
async fn last_administrator_cannot_be_removed() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let id = admin.id().await;
    let guarded = async || {
        for answer in [
            delete(&admin, id).await,
            update(&admin, id, json!({ "disabled": true })).await,
            update(&admin, id, json!({ "role": "operator" })).await,
            update(&admin, id, json!({ "role": "viewer", "disabled": true })).await,
        ] {
            let expected =
                "the last administrator cannot be removed, disabled or given another role";
            assert_eq!(answer.problem(409), expected);
        }
    };
    guarded().await;
    // Two users who do not count as administrators: one has a lower role, one is disabled.
    app.caller(Role::Operator).await;
    let second = app.caller(Role::Admin).await;
    let second_id = second.id().await;
    update(&admin, second_id, json!({ "disabled": true })).await.ok();
    guarded().await;
    // Changes that keep an administrator are allowed.
    update(&admin, id, json!({ "role": "admin", "disabled": false })).await.ok();
    update(&admin, second_id, json!({ "disabled": false })).await.ok();
    update(&admin, id, json!({ "role": "viewer" })).await.ok();
    let second = {
        let me = app.gateway.users.find(second_id).await.expect("a user");
        app.log_in(&me.username).await
    };
    assert_eq!(delete(&second, second_id).await.status, 409);
    app.finish().await;
}

#[tokio::test]
async fn two_administrators_cannot_remove_each_other_at_once() {
    let app = App::start().await;
    let mut survivor = app.log_in("admin").await;
    for round in 0..4 {
        let rival = app.caller(Role::Admin).await;
        let (own, other) = (survivor.id().await, rival.id().await);
        let (first, second) = if round % 2 == 0 {
            tokio::join!(delete(&survivor, other), delete(&rival, own))
        } else {
            let demote = json!({ "role": "viewer" });
            tokio::join!(update(&survivor, other, demote.clone()), update(&rival, own, demote))
        };
        let won = [first.status.is_success(), second.status.is_success()];
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{first:?} {second:?}");
        if won[1] {
            survivor = rival;
        }
        survivor.get("/v1/users").await.ok();
    }
    app.finish().await;
}
