//! `GET /v1/topologies` and the lists below one topology.

use entity::user::Role;
use serde_json::{Value, json};

use crate::support::{
    App, Caller, id_of,
    topology::{items, topology_with_status},
};

/// All objects of a list, page by page.
async fn all_pages(caller: &Caller, path: &str, query: &str, limit: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = caller.get(&format!("{path}?limit={limit}{query}{after}")).await.ok();
        all.extend_from_slice(items(&page));
        let Some(next) = page.get("next") else {
            return all;
        };
        assert_eq!(items(&page).len(), limit, "only the last page may be short");
        let next = format!("&after={}", next.as_str().expect("an id"));
        assert_ne!(next, after, "a page that leads to itself");
        after = next;
    }
}

#[tokio::test]
async fn lists_are_complete_ordered_paged_and_filtered_by_status() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let viewer = app.caller(Role::Viewer).await;
    let mut made = Vec::new();
    for status in ["pending", "active", "pending", "degraded", "pending"] {
        let id = topology_with_status(&operator, status).await;
        made.push(operator.get(&format!("/v1/topologies/{id}")).await.ok());
    }
    for limit in [1, 2, 4, 5, 200] {
        assert_eq!(all_pages(&viewer, "/v1/topologies", "", limit).await, made, "pages of {limit}");
    }
    let pending: Vec<Value> =
        made.iter().filter(|topology| topology["status"] == "pending").cloned().collect();
    assert_eq!(all_pages(&viewer, "/v1/topologies", "&status=pending", 2).await, pending);
    assert_eq!(all_pages(&viewer, "/v1/topologies", "&status=failed", 2).await, [Value::Null; 0]);

    let path = format!("/v1/topologies/{}/transitions", id_of(&made[1]));
    let whole = all_pages(&viewer, &path, "", 200).await;
    assert_eq!(whole.len(), 2);
    assert_eq!(all_pages(&viewer, &path, "", 1).await, whole);
    for query in ["limit=0", "limit=201", "limit=x", "after=1", "status=broken", "status="] {
        viewer.get(&format!("/v1/topologies?{query}")).await.problem(400);
    }
    app.finish().await;
}

#[tokio::test]
async fn page_of_large_topologies_is_bounded_in_bytes() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let config = json!({ "pad": "x".repeat(16_000) });
    for number in 0..70 {
        let new = json!({ "name": format!("large-{number}"), "config": config });
        operator.post("/v1/topologies", new).await.ok();
    }
    let mut names = Vec::new();
    let mut path = "/v1/topologies?limit=200".to_owned();
    loop {
        let page = operator.get(&path).await.ok();
        let items = page["items"].as_array().expect("items").clone();
        assert!(items.len() <= 65, "{}", items.len());
        names.extend(items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/topologies?limit=200&after={next}");
    }
    let expected: Vec<String> = (0..70).map(|number| format!("large-{number}")).collect();
    assert_eq!(names, expected);
    let too_large = json!({ "name": "l", "config": { "pad": "x".repeat(16_384) } });
    let detail = operator.post("/v1/topologies", too_large).await.problem(400);
    assert!(detail.contains("16384"), "{detail}");
    app.finish().await;
}
