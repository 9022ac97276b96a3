//! Only the user can read and change their notifications.

use entity::user::Role;
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App, id_of,
    notification::{notify, user_and_agent},
};

#[tokio::test]
async fn only_the_user_reads_watches_and_marks_own_notifications() {
    let app = App::start().await;
    let (user, agent, path) = user_and_agent(&app).await;
    let told = notify(&agent, &path, 1).await;
    let id = path.split('/').nth(3).expect("an id").to_owned();
    // The response for an unknown user is the same.
    let unknown = format!("/v1/users/{}/notifications", Uuid::now_v7());
    for role in [Role::Viewer, Role::Agent, Role::Operator, Role::Admin] {
        let other = app.caller(role).await;
        for path in [&path, &unknown] {
            for part in ["", "/stream", "/events"] {
                other.get(&format!("{path}{part}")).await.problem(403);
            }
            let read = format!("{path}/{}/read", id_of(&told));
            other.post(&read, json!({})).await.problem(403);
        }
        let wanted = json!({ "family": "notification", "id": id });
        other.post("/v1/stream-tokens", wanted).await.problem(403);
    }
    let list = user.get(&path).await.ok();
    assert_eq!(list["items"], json!([told]), "still unread");
    // The user's stream token opens the stream.
    let wanted = json!({ "family": "notification", "id": id });
    let minted = user.post("/v1/stream-tokens", wanted).await.ok();
    let url = minted["url"].as_str().expect("a URL");
    let mut reader = app.anyone().stream(url, "").await;
    assert_eq!(reader.expect("snapshot").await.data["unread"], 1);
    drop(reader);
    app.finish().await;
}
