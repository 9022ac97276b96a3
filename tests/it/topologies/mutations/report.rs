//! `POST /v1/topologies/{id}/mutations/{mid}/report`.

use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App,
    mutation::{claim, report, topology_with_workers},
    topology::shown,
};

#[tokio::test]
async fn repeated_report_changes_nothing_and_a_different_one_is_refused() {
    let app = App::start().await;
    let (operator, agent, id, path) = topology_with_workers(&app, "active").await;
    for (state, other) in [("applied", "failed"), ("failed", "applied")] {
        operator.mutate(id, 1).await.ok();
        let claimed = claim(&agent, &path, 1).await.remove(0);
        let mut foreign = claimed.clone();
        foreign["lease_token"] = json!(Uuid::new_v4());
        report(&agent, &path, &foreign, state).await.problem(409);
        let first = report(&agent, &path, &claimed, state).await.ok();
        assert_eq!(first["state"], state);
        let before = shown(&operator, id).await;
        assert_eq!(report(&agent, &path, &claimed, state).await.ok(), first);
        report(&agent, &path, &claimed, other).await.problem(409);
        report(&agent, &path, &foreign, state).await.problem(409);
        assert_eq!(shown(&operator, id).await, before, "no event, no change");
    }
    app.finish().await;
}
