//! The public operations, which need no credential.

use std::iter::repeat_with;

use reqwest::{Method, header};
use uuid::Uuid;

use crate::{
    documented_statuses::operation::programs,
    documented_statuses::{
        exceptions::{IGNORE_TOKENS, is_in},
        walker::{Report, Walker},
    },
    support::{App, Caller, openapi::Operation},
};

fn public(walker: &Walker) -> Vec<Operation<'_>> {
    let all = programs(&walker.document).into_iter();
    all.filter(Operation::is_public).collect()
}

#[tokio::test]
async fn public_operation_refuses_a_token_that_is_not_valid() {
    let walker = Walker::over(App::start().await).await;
    let app = &walker.app;
    let mut report = Report::default();
    let garbage = Caller { token: Some("garbage".to_owned()), ..app.anyone() };
    let logged_in = app.log_in("admin").await;
    for operation in &public(&walker) {
        if is_in(IGNORE_TOKENS, operation.id) {
            let answer = walker.send_unknown(&garbage, operation).await;
            match operation.body(&walker.document) {
                None => assert_eq!(answer.status, 200, "{}", operation.id),
                // The credential is in the body, and that of the example is not valid here.
                Some(_) => assert!(!answer.problem(401).contains("bearer"), "{}", operation.id),
            }
            continue;
        }
        report.expect(operation, 401, &walker.send_unknown(&garbage, operation).await);
        for caller in [&app.anyone(), &logged_in] {
            let answer = walker.send_unknown(caller, operation).await;
            assert_eq!(answer.status, 200, "{}", operation.id);
        }
        // The credential of a proxy.
        let path = operation.path_with(repeat_with(|| Uuid::now_v7().to_string()));
        let request = app.anyone().request(Method::GET, &path);
        let answer = Caller::answer(request.header(header::AUTHORIZATION, "Basic YTpi")).await;
        assert_eq!(answer.status, 200, "{}", operation.id);
        // An access token in the URL may be in the log of a proxy.
        let token = logged_in.token.as_deref().expect("a token");
        let answer = app.anyone().get(&format!("{path}?access_token={token}")).await;
        report.expect(operation, 401, &answer);
    }
    assert!(report.faults.is_empty(), "{}", report.faults.join("\n"));
    walker.app.finish().await;
}

#[tokio::test]
async fn public_operation_answers_429_over_its_quota() {
    let limited = App::with(|config| {
        config.limits.public_requests_per_minute_per_address = 1;
        config.limits.logins_per_minute_per_address = 1;
    });
    let walker = Walker::over(limited.await).await;
    let mut report = Report::default();
    let anyone = walker.app.anyone();
    let is_refused = |status: reqwest::StatusCode| status == 429;
    for operation in &public(&walker) {
        let first = walker.send_unknown(&anyone, operation).await.status;
        // The quota of each operation is its own. The walker has read the document, refresh counts as a login, and
        // the metadata of all resources have one quota.
        let is_used_up =
            ["openapi_get", "auth_refresh", "tunnel_metadata_get", "named_tunnel_metadata_get"]
                .contains(&operation.id);
        assert_eq!(is_refused(first), is_used_up, "{}: {first}", operation.id);
        report.expect(operation, 429, &walker.send_unknown(&anyone, operation).await);
    }
    assert!(report.faults.is_empty(), "{}", report.faults.join("\n"));
    assert!(report.tried.len() > 5, "{:?}", report.tried);
}
