//! `POST /v1/topologies`.

use entity::user::Role;
use serde_json::json;

use crate::support::{App, id_of, topology::items};

#[tokio::test]
async fn topology_name_is_unique_and_free_of_control_characters() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let longest = "ä".repeat(128);
    for name in ["lab-7", "Lab 7: \"quoted\" \\ \u{2028} 実験室", &longest] {
        let new = json!({ "name": name, "mode": "m", "config": { "a b": ["\n", 1.5, null] } });
        let made = operator.post("/v1/topologies", new.clone()).await.ok();
        assert_eq!((&made["name"], &made["config"]), (&new["name"], &new["config"]));
        assert_eq!((&made["status"], &made["version"]), (&json!("pending"), &json!(1)));
        let path = format!("/v1/topologies/{}", id_of(&made));
        assert_eq!(operator.get(&path).await.ok(), made);
        operator.post("/v1/topologies", new).await.problem(409);
    }
    for name in ["", "a\nb", "a\0b", &"a".repeat(129)] {
        operator.post("/v1/topologies", json!({ "name": name })).await.problem(400);
    }
    assert_eq!(items(&operator.get("/v1/topologies").await.ok()).len(), 3);
    app.finish().await;
}
