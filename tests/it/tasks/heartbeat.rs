//! `POST /v1/tasks/{id}/heartbeat`.

use std::time::Duration;

use entity::Timestamp;
use sea_orm::{EntityTrait, prelude::Expr};
use serde_json::json;

use crate::support::{
    App,
    task::{create, owner_and_agent, send},
};

#[tokio::test]
async fn heartbeat_and_report_renew_the_lease_for_its_duration() {
    use entity::task::{Column, Entity};
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let id = create(&owner, "a").await;
    let ask = json!({ "skills": ["a"], "lease_seconds": 600 });
    let claimed = agent.post("/v1/tasks/claim", ask).await.ok()[0].take();
    for (what, body) in [
        ("heartbeat", json!({})),
        ("report", json!({ "seq": 1, "status": "running" })),
        ("report", json!({ "seq": 2, "artifact": { "artifact_id": "a", "data": 1 } })),
    ] {
        // As if most of the lease were over.
        let soon = Timestamp::now() + Duration::from_mins(1);
        let shorter = Entity::update_many().col_expr(Column::LeaseExpiresAt, Expr::value(soon));
        shorter.exec(app.gateway.database.writer()).await.expect("an update");
        let answer = send(&agent, &claimed, what, body).await.ok();
        let row = Entity::find_by_id(id).one(app.gateway.database.reader()).await;
        let until = row.expect("a row").expect("the task").lease_expires_at.expect("a lease");
        let left = until.since(soon).as_secs();
        assert!((539..600).contains(&left), "{what}: {left} s more");
        if what == "heartbeat" {
            assert!(answer["lease_expires_at"].as_str() > claimed["lease_expires_at"].as_str());
        }
    }
    app.finish().await;
}
