//! `POST /v1/topologies/{id}/mutations/claim` and `GET .../mutations`.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    App, id_of,
    mutation::{claim, numbers, report, topology_with_workers},
};

#[tokio::test]
async fn mutations_are_claimed_oldest_first_and_listed_by_state() {
    let app = App::start().await;
    let (operator, agent, id, path) = topology_with_workers(&app, "active").await;
    assert!(claim(&agent, &path, 50).await.is_empty());
    for number in 0..6 {
        operator.mutate(id, number).await.ok();
    }
    let first = claim(&agent, &path, 1).await;
    assert_eq!(numbers(&first), [0]);
    let next = claim(&agent, &path, 3).await;
    assert_eq!(numbers(&next), [1, 2, 3]);
    for claimed in &next {
        assert_eq!(
            (&claimed["attempt"], &claimed["mutation"]["state"]),
            (&json!(1), &json!("applying"))
        );
        assert_ne!(claimed["lease_token"], first[0]["lease_token"]);
    }
    report(&agent, &path, &next[1], "applied").await.ok();
    report(&agent, &path, &next[2], "failed").await.ok();
    for (state, expected) in [
        ("pending", vec![4, 5]),
        ("applying", vec![0, 1]),
        ("applied", vec![2]),
        ("failed", vec![3]),
    ] {
        let list = operator.get(&format!("{path}?state={state}")).await.ok();
        assert_eq!(numbers(list["items"].as_array().expect("items")), expected, "{state}");
    }
    let page = operator.get(&format!("{path}?limit=4")).await.ok();
    assert_eq!(numbers(page["items"].as_array().expect("items")), [0, 1, 2, 3]);
    let after = page["next"].as_str().expect("more");
    let rest = operator.get(&format!("{path}?limit=4&after={after}")).await.ok();
    assert_eq!(numbers(rest["items"].as_array().expect("items")), [4, 5]);
    assert_eq!(rest.get("next"), None);
    operator.get(&format!("{path}?state=done")).await.problem(400);

    // In the status `tearing_down`, the topology gives no mutations to workers, but accepts
    // reports.
    operator.set_status(id, "tearing_down").await.ok();
    assert!(claim(&agent, &path, 50).await.is_empty());
    report(&agent, &path, &first[0], "applied").await.ok();
    operator.set_status(id, "degraded").await.ok();
    assert_eq!(numbers(&claim(&agent, &path, 50).await), [4, 5]);
    app.finish().await;
}

#[tokio::test]
async fn concurrent_claims_never_hold_the_same_mutation() {
    let app = App::start().await;
    let (operator, agent, id, path) = topology_with_workers(&app, "active").await;
    for number in 0..30 {
        operator.mutate(id, number).await.ok();
    }
    let claims = join_all((0..20).map(|worker| claim(&agent, &path, 1 + worker % 2))).await;
    let claimed: Vec<Value> = claims.iter().flatten().cloned().collect();
    let mut held = numbers(&claimed);
    held.sort_unstable();
    assert_eq!(held, (0..30).collect::<Vec<_>>(), "10 claims of 1 and 10 of 2: each once");
    assert!(claim(&agent, &path, 50).await.is_empty());
    let tokens: BTreeMap<&str, usize> =
        claims.iter().enumerate().fold(BTreeMap::new(), |mut tokens, (worker, claims)| {
            for claimed in claims {
                let token = claimed["lease_token"].as_str().expect("a token");
                assert_eq!(
                    *tokens.entry(token).or_insert(worker),
                    worker,
                    "two workers have the same token"
                );
            }
            tokens
        });
    assert_eq!(tokens.len(), 20);
    let ends = join_all(claimed.iter().map(|claimed| report(&agent, &path, claimed, "applied")));
    assert!(ends.await.iter().all(|answer| answer.status == 200));
    let page = operator.get(&format!("/v1/topologies/{id}/events?limit=200")).await.ok();
    let applied = page["events"].as_array().expect("events").iter();
    let applied: Vec<_> = applied.filter(|event| event["kind"] == "mutation.applied").collect();
    let ids: BTreeSet<_> = applied.iter().map(|event| id_of(&event["data"])).collect();
    assert_eq!((applied.len(), ids.len()), (30, 30));
    app.finish().await;
}
