//! The dependencies in `/health/ready`.

use serde_json::Value;

use crate::support::App;

/// The dependency with this name.
pub async fn dependency(app: &App, name: &str) -> Value {
    let ready = app.anyone().get("/health/ready").await;
    let all = ready.body["dependencies"].as_array().expect("dependencies").clone();
    all.into_iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}
