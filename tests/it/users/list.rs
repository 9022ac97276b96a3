//! `GET /v1/users`.

use entity::user::Role;
use serde_json::Value;

use crate::support::App;

#[tokio::test]
async fn users_are_listed_page_by_page_oldest_first() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    for name in ["b", "a", "d", "c"] {
        app.create_user(name, Role::Viewer).await;
    }
    let mut names = Vec::new();
    let mut path = "/v1/users?limit=2".to_owned();
    let pages = loop {
        let page = admin.get(&path).await.ok();
        let items = page["items"].as_array().expect("items");
        names.extend(items.iter().map(|user| user["username"].as_str().expect("text").to_owned()));
        match page.get("next").and_then(Value::as_str) {
            Some(next) => path = format!("/v1/users?limit=2&after={next}"),
            None => break names.len().div_ceil(2),
        }
        assert_eq!(items.len(), 2);
        assert!(names.len() < 10, "{names:?}");
    };
    assert_eq!((names.join(" ").as_str(), pages), ("admin b a d c", 3));
    app.finish().await;
}
