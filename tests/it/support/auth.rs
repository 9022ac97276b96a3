//! Access tokens, refresh tokens, and the check of a refused token.

use serde_json::{Value, json};

use crate::support::{
    app::App,
    caller::{Answer, Caller},
};

/// Checks that the credential was refused (RFC 6750, section 3.1), and returns the detail.
#[track_caller]
pub fn invalid_token(answer: Answer) -> String {
    let challenge = answer.headers["www-authenticate"].to_str().expect("text").to_owned();
    let detail = answer.problem(401);
    let expected = format!(
        "Bearer realm=\"streamgate\", error=\"invalid_token\", error_description=\"{detail}\""
    );
    assert_eq!(challenge, expected);
    detail
}

/// Returns a client with this access token.
pub fn bearer(app: &App, token: &str) -> Caller {
    let mut caller = app.anyone();
    caller.token = Some(token.to_owned());
    caller
}

/// Exchanges the refresh token of the pair for a new pair.
pub async fn refresh(app: &App, pair: &Value) -> Answer {
    let body = json!({ "refresh_token": pair["refresh_token"] });
    app.anyone().post("/v1/auth/refresh", body).await
}

/// Sends `GET /v1/auth/me` with the access token of the pair.
pub async fn me(app: &App, pair: &Value) -> Answer {
    let token = pair["access_token"].as_str().expect("an access token");
    bearer(app, token).get("/v1/auth/me").await
}
