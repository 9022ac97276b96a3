//! `GET /v1/tasks/{id}` and everything below it: only for the owner and administrators.

use entity::user::Role;
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App, id_of,
    task::{cancel, create, get, owner_and_agent},
};

#[tokio::test]
async fn only_owner_and_administrators_see_a_task() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let (other, admin) = (app.caller(Role::Operator).await, app.log_in("admin").await);
    let id = create(&owner, "a").await;
    let foreign = create(&other, "b").await;
    let page = admin.get("/v1/tasks").await.ok();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2));
    for (caller, seen) in [(&owner, id), (&other, foreign)] {
        let items = caller.get("/v1/tasks").await.ok()["items"].take();
        assert_eq!((items.as_array().map(Vec::len), id_of(&items[0])), (Some(1), seen));
    }
    let nobodys = Uuid::now_v7();
    for stranger in [&other, &agent] {
        for part in ["", "/events", "/stream"] {
            let get = |id: Uuid| {
                let path = format!("/v1/tasks/{id}{part}");
                async move { stranger.get(&path).await.problem(404) }
            };
            assert_eq!(get(id).await, get(nobodys).await, "the same for both");
        }
        assert_eq!(
            cancel(stranger, id).await.problem(404),
            cancel(stranger, nobodys).await.problem(404)
        );
        let token = json!({ "family": "task", "id": id });
        stranger.post("/v1/stream-tokens", token).await.problem(404);
    }
    let token = json!({ "family": "task", "id": id });
    let minted = owner.post("/v1/stream-tokens", token).await.ok();
    let url = minted["url"].as_str().expect("a URL");
    assert!(url.starts_with(&format!("/v1/tasks/{id}/stream?")), "{url}");
    for (caller, path) in [(app.anyone(), url), (admin.clone(), &format!("/v1/tasks/{id}/stream"))]
    {
        let snapshot = caller.stream(path, "").await.expect("snapshot").await;
        assert_eq!(snapshot.data, json!({ "task": get(&owner, id).await }));
    }
    cancel(&admin, id).await.ok();
    assert_eq!(get(&owner, id).await["status"], "cancelled");
    app.finish().await;
}
