//! Every operation refuses a missing credential, a role too low, an unknown id and one request
//! too many.

use entity::user::Role;
use serde_json::json;
use uuid::Uuid;

use crate::{
    documented_statuses::{
        exceptions::{ANY_ROLE, NO_ID, OWN, is_in},
        walker::{Report, Walker},
    },
    support::{App, id_of, openapi::Operation},
};

#[tokio::test]
async fn every_operation_refuses_a_missing_or_invalid_credential() {
    let walker = Walker::over(App::start().await).await;
    let mut report = Report::default();
    let mut garbage = walker.app.anyone();
    garbage.token = Some("garbage".to_owned());
    for operation in &walker.guarded() {
        for (caller, error) in [(&walker.app.anyone(), false), (&garbage, true)] {
            let answer = walker.send_unknown(caller, operation).await;
            report.expect(operation, 401, &answer);
            // RFC 6750, section 3.1: the challenge has an error code only if a credential was sent.
            let challenge = answer.headers.get("www-authenticate");
            let challenge = challenge.and_then(|value| value.to_str().ok()).unwrap_or_default();
            if challenge.contains("error=\"invalid_token\"") != error {
                report.fault(operation, challenge);
            }
        }
    }
    report.end(&walker);
    walker.app.finish().await;
}

#[tokio::test]
async fn every_operation_refuses_a_role_below_the_documented_one() {
    let walker = Walker::over(App::start().await).await;
    let app = &walker.app;
    let mut report = Report::default();
    let (viewer, agent) = (app.caller(Role::Viewer).await, app.caller(Role::Agent).await);
    let operator = app.caller(Role::Operator).await;
    let other = app.active_topology(&operator).await;
    let minted = viewer.mint(other).await;
    let query = format!("?stream_token={}", minted["token"].as_str().expect("a token"));
    for operation in &walker.guarded() {
        let below = match operation.role() {
            Some(Role::Admin) => Some(&operator),
            Some(Role::Operator) => Some(&agent),
            Some(Role::Agent) => Some(&viewer),
            // No role is below `viewer`.
            Some(Role::Viewer) => None,
            None if is_in(ANY_ROLE, operation.id) => None,
            None => {
                report.fault(operation, "the description does not say `Requires the role ...`");
                continue;
            }
        };
        report.covers(operation);
        if let Some(caller) = below {
            // The id is unknown, too, because a role that is too low must not learn which resources
            // exist.
            report.expect(operation, 403, &walker.send_unknown(caller, operation).await);
        }
        if operation.is_stream() {
            let ids: Vec<_> = operation.ids().iter().map(|_| Uuid::now_v7()).collect();
            let path = format!("{}{query}", operation.path);
            let operation = Operation { path: &path, ..*operation };
            report.expect(&operation, 403, &walker.send(&app.anyone(), &operation, &ids).await);
        }
    }
    report.end(&walker);
    walker.app.finish().await;
}

#[tokio::test]
async fn every_operation_answers_404_for_unknown_ids() {
    let walker = Walker::over(App::start().await).await;
    let app = &walker.app;
    let mut report = Report::default();
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    for operation in &walker.guarded() {
        let caller = app.caller(operation.role().unwrap_or(Role::Viewer)).await;
        let ids = operation.ids();
        let in_body = operation.body(&walker.document).is_some_and(|body| !body["id"].is_null());
        if is_in(NO_ID, operation.id) {
            report.covers(operation);
            if in_body || !ids.is_empty() {
                report.fault(operation, "it has an id, and is in the list NO_ID");
            }
        } else if ids.is_empty() && (in_body || !operation.query().is_empty()) {
            report.expect(operation, 404, &walker.send(&caller, operation, &[]).await);
        }
        // Each id is unknown in turn, and the ids before it are real.
        for unknown in 0..ids.len() {
            let known = match operation.path.split('/').nth(2) {
                Some("topologies") => Some(topology),
                Some("users") => Some(caller.id().await),
                // The name is looked up together with its owner.
                Some("{tunnel}") => Some(Uuid::now_v7()),
                Some("sessions") => Some(id_of(&caller.post("/v1/sessions", json!({})).await.ok())),
                _ => None,
            };
            let ids: Option<Vec<_>> = (0..ids.len())
                .map(|index| if index < unknown { known } else { Some(Uuid::now_v7()) })
                .collect();
            match ids {
                Some(ids) => {
                    let answer = walker.send(&caller, operation, &ids).await;
                    let is_own = unknown == 0 && is_in(OWN, operation.id);
                    report.expect(operation, if is_own { 403 } else { 404 }, &answer);
                }
                None => report.fault(operation, "no real id for the first part of the path"),
            }
        }
    }
    report.end(&walker);
    walker.app.finish().await;
}

#[tokio::test]
async fn every_operation_answers_429_over_the_rate_limit() {
    let limited = App::with(|config| {
        config.limits.requests_per_minute = 1;
        config.limits.stream_opens_per_minute = 1;
    });
    let walker = Walker::over(limited.await).await;
    let mut report = Report::default();
    let admin = walker.app.log_in("admin").await;
    for operation in &walker.guarded() {
        // Uses up the quota. A refusal here is fine.
        if operation.is_stream() {
            walker.send_unknown(&admin, operation).await;
        } else {
            admin.get("/v1/auth/me").await;
        }
        report.expect(operation, 429, &walker.send_unknown(&admin, operation).await);
    }
    report.end(&walker);
    walker.app.finish().await;
}
