//! Expired leases of mutations, and workers that report late.

use entity::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, prelude::Expr};
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App,
    mutation::{claim, report, topology_with_workers},
    until,
};

/// Makes the leases of a topology expire.
async fn expire(app: &App, id: Uuid) {
    use entity::mutation::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::LeaseExpiresAt, Expr::value(Timestamp(Timestamp::now().0 - 1)))
        .filter(Column::TopologyId.eq(id))
        .filter(Column::LeaseExpiresAt.is_not_null())
        .exec(app.gateway.database.writer())
        .await
        .expect("an update");
}

#[tokio::test]
async fn mutation_with_an_expired_lease_goes_to_the_next_worker() {
    // The heartbeat finds leases whose end this gateway does not know.
    let app = App::with(|config| config.streams.heartbeat_seconds = 1).await;
    let (operator, agent, id, path) = topology_with_workers(&app, "active").await;
    let mut reader = operator.watch(id, "").await;
    reader.expect("snapshot").await;
    operator.mutate(id, 1).await.ok();
    let late = claim(&agent, &path, 1).await.remove(0);
    expire(&app, id).await;
    report(&agent, &path, &late, "applied").await.problem(409);
    until("pending mutation", async || {
        let list = operator.get(&format!("{path}?state=pending")).await.ok();
        !list["items"].as_array().expect("items").is_empty()
    })
    .await;
    report(&agent, &path, &late, "applied").await.problem(409);
    let newest = claim(&agent, &path, 1).await.remove(0);
    assert_eq!((&newest["attempt"], &newest["mutation"]["attempt"]), (&json!(2), &json!(2)));
    assert_ne!(newest["lease_token"], late["lease_token"]);
    report(&agent, &path, &late, "failed").await.problem(409);
    report(&agent, &path, &newest, "applied").await.ok();
    report(&agent, &path, &late, "applied").await.problem(409);
    for (kind, state, attempt) in [
        ("mutation.enqueued", "pending", 0),
        ("mutation.applying", "applying", 1),
        ("mutation.enqueued", "pending", 1),
        ("mutation.applying", "applying", 2),
        ("mutation.applied", "applied", 2),
    ] {
        let data = reader.expect(kind).await.data;
        assert_eq!((&data["state"], &data["attempt"]), (&json!(state), &json!(attempt)));
    }
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn leases_expire_while_the_topology_is_torn_down() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 60).await;
    let (operator, agent, id, path) = topology_with_workers(&app, "active").await;
    let mut reader = operator.watch(id, "").await;
    let mut claimed = Vec::new();
    reader.expect("snapshot").await;
    // The shortest lease is not the first.
    for (number, seconds) in [(0, 2), (1, 1), (2, 3)] {
        operator.mutate(id, number).await.ok();
        let lease = json!({ "lease_seconds": seconds });
        claimed.push(agent.post(&format!("{path}/claim"), lease).await.ok()[0].clone());
        reader.expect("mutation.enqueued").await;
        reader.expect("mutation.applying").await;
    }
    operator.set_status(id, "tearing_down").await.ok();
    reader.expect("status").await;
    for number in [1, 0, 2] {
        let again = reader.expect("mutation.enqueued").await.data;
        assert_eq!((&again["state"], &again["attempt"]), (&json!("pending"), &json!(1)));
        assert_eq!(again["payload"]["number"], number);
    }
    report(&agent, &path, &claimed[0], "applied").await.problem(409);
    drop(reader);
    app.finish().await;
}
