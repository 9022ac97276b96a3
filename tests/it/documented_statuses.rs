//! Goes over every operation of the served document and tries what must be refused: no credential,
//! a role too low, an id that nobody has, once too often. A new operation is walked without a line
//! here, or fails until one of the lists below says why a case does not apply to it.

use std::collections::BTreeSet;

use entity::user::Role;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    openapi::documents::{Operation, operations, resolve},
    support::app::{Answer, App, Caller, id_of},
};

/// Operations that need no credential, and why.
const PUBLIC: &[(&str, &str)] = &[
    ("auth_login", "gives the first credential; its own 401 and 429: auth.rs, quota.rs"),
    ("auth_refresh", "the refresh token is the credential; its own 401 and 429: auth.rs, quota.rs"),
    ("key_list", "public keys, for those who verify access tokens"),
    ("liveness_get", "asked by orchestrators, which have no user"),
    ("readiness_get", "asked by orchestrators, which have no user"),
    ("metrics_get", "asked by Prometheus, kept from the outside by the proxy in front"),
    ("docs_get", "explains how to get a credential"),
    ("openapi_get", "explains how to get a credential"),
    ("openapi_3_2_get", "explains how to get a credential"),
];

/// Operations that do not say which role they need, because every role may call them.
const ANY_ROLE: &[(&str, &str)] = &[
    ("auth_logout", "concerns the caller alone"),
    ("caller_get", "concerns the caller alone"),
    ("stream_token_mint", "needs the role of the stream, and every stream is open to viewers"),
];

/// Operations without an id that could be unknown, neither in the path nor in the body.
const NO_ID: &[(&str, &str)] = &[
    ("auth_logout", "concerns the session of the caller"),
    ("caller_get", "concerns the session of the caller"),
    ("connection_list", "an empty list is an answer"),
    ("mcp_session_create", "gives the id"),
    ("mcp_session_list", "an empty list is an answer"),
    ("task_claim", "takes what there is of these skills"),
    ("task_create", "gives the id"),
    ("task_list", "an empty list is an answer"),
    ("prompt_claim", "nothing to do is an answer"),
    ("session_create", "gives the id"),
    ("session_list", "an empty list is an answer"),
    ("topology_create", "gives the id"),
    ("topology_list", "an empty list is an answer"),
    ("user_create", "gives the id"),
    ("user_list", "an empty list is an answer"),
];

/// Operations on what is the caller's alone: another user's id is a 403, whether or not there is such
/// a user.
const OWN: &[(&str, &str)] = &[
    ("notification_list", "a user's notifications"),
    ("notification_update", "a user's notifications"),
    ("notification_stream", "a user's notifications"),
    ("notification_list_events", "a user's notifications"),
];

fn is_in(list: &[(&str, &str)], id: &str) -> bool {
    list.iter().any(|(name, _)| *name == id)
}

impl Operation<'_> {
    fn is_public(&self) -> bool {
        self.value["security"].as_array().is_none_or(Vec::is_empty)
    }

    fn is_stream(&self) -> bool {
        !self.value["responses"]["200"]["content"]["text/event-stream"].is_null()
    }

    /// The names in the path.
    fn ids(&self) -> Vec<&str> {
        let segments = self.path.split('/');
        segments.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
    }

    /// The example of the request's body.
    fn body(&self, document: &Value) -> Option<Value> {
        let content = self.value["requestBody"]["content"].as_object()?;
        let schema = &content.values().next().expect("a media type")["schema"];
        let schema = resolve(document, schema["$ref"].as_str().expect("a schema with a name"));
        let example = &schema["example"];
        assert!(!example.is_null(), "{}: the body has no example", self.id);
        Some(example.clone())
    }

    /// The examples of what must be in the query.
    fn query(&self) -> Vec<String> {
        let parameters = self.value["parameters"].as_array().into_iter().flatten();
        let needed = parameters.filter(|it| it["in"] == "query" && it["required"] == true);
        let pairs = needed.flat_map(|parameter| {
            let name = parameter["name"].as_str().expect("a name");
            let values = parameter["example"].as_array().expect("an example that is a list");
            values.iter().map(move |value| format!("{name}={}", value.as_str().expect("a text")))
        });
        pairs.collect()
    }

    /// The role that the description names.
    fn role(&self) -> Option<Role> {
        let text = self.value["description"].as_str().unwrap_or_default();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, rest) = text.split_once("Requires the role ")?;
        let word = rest.split(|c: char| !c.is_alphabetic()).next()?;
        match word {
            "viewer" => Some(Role::Viewer),
            "agent" => Some(Role::Agent),
            "operator" => Some(Role::Operator),
            "admin" => Some(Role::Admin),
            _ => None,
        }
    }
}

/// An App and its document as served.
struct Walk {
    app: App,
    document: Value,
}

impl Walk {
    async fn over(app: App) -> Self {
        let document = app.anyone().get("/openapi.json").await.ok();
        Self { app, document }
    }

    /// The operations that need a credential.
    fn guarded(&self) -> Vec<Operation<'_>> {
        operations(&self.document).into_iter().filter(|found| !found.is_public()).collect()
    }

    /// Sends the operation's request with these ids in the path.
    async fn send(&self, caller: &Caller, operation: &Operation<'_>, ids: &[Uuid]) -> Answer {
        let names = operation.ids();
        assert_eq!(names.len(), ids.len(), "{}", operation.id);
        let path = names.iter().zip(ids).fold(operation.path.to_owned(), |path, (name, id)| {
            path.replace(&format!("{{{name}}}"), &id.to_string())
        });
        let query = operation.query().join("&");
        let separator = if path.contains('?') { "&" } else { "?" };
        let path = if query.is_empty() { path } else { format!("{path}{separator}{query}") };
        let method = operation.method.to_uppercase();
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        caller.call(method, &path, operation.body(&self.document)).await
    }

    /// Sends it with ids that nobody has.
    async fn send_unknown(&self, caller: &Caller, operation: &Operation<'_>) -> Answer {
        let ids: Vec<_> = operation.ids().iter().map(|_| Uuid::now_v7()).collect();
        self.send(caller, operation, &ids).await
    }
}

/// What was tried, and what was wrong with it. All of it is told at once.
#[derive(Default)]
struct Report {
    tried: BTreeSet<String>,
    faults: Vec<String>,
}

impl Report {
    /// The operation has its rule for the case.
    fn covers(&mut self, operation: &Operation<'_>) {
        self.tried.insert(operation.id.to_owned());
    }

    fn fault(&mut self, operation: &Operation<'_>, what: &str) {
        self.faults.push(format!("{}: {what}", operation.id));
    }

    /// Checks a refusal.
    fn expect(&mut self, operation: &Operation<'_>, status: u16, answer: &Answer) {
        self.covers(operation);
        let (kind, header) = match status {
            401 => ("unauthenticated", Some("www-authenticate")),
            403 => ("forbidden", None),
            404 => ("not-found", None),
            _ => ("too-many-requests", Some("retry-after")),
        };
        let text = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let request = text("x-request-id").unwrap_or_default();
        let good = answer.status == status
            && text("content-type") == Some("application/problem+json")
            && answer.body["status"] == status
            && answer.body["type"] == format!("https://streamgate.dev/problems/{kind}")
            && answer.body["instance"] == format!("urn:uuid:{request}")
            && header.is_none_or(|header| text(header).is_some());
        if !good {
            self.fault(operation, &format!("{status} expected, not {answer:?}"));
        }
        if operation.value["responses"].get(status.to_string()).is_none() {
            self.fault(operation, &format!("{status} is not documented"));
        }
    }

    /// Checks that nothing was wrong and that no operation was left out.
    #[track_caller]
    fn end(mut self, walk: &Walk) {
        for operation in walk.guarded() {
            if !self.tried.contains(operation.id) {
                self.fault(&operation, "no rule covers this operation");
            }
        }
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
        assert!(self.tried.len() > 10, "a walk over nothing: {:?}", self.tried);
    }
}

#[tokio::test]
async fn the_lists_of_exceptions_are_those_of_the_document() {
    let walk = Walk::over(App::start().await).await;
    let all = operations(&walk.document);
    let found: BTreeSet<_> = all.iter().filter(|found| found.is_public()).map(|it| it.id).collect();
    let listed: BTreeSet<_> = PUBLIC.iter().map(|(id, _)| *id).collect();
    assert_eq!(found, listed, "operations without `security`, and the list PUBLIC");
    for (id, _) in ANY_ROLE.iter().chain(NO_ID).chain(OWN) {
        assert!(all.iter().any(|it| it.id == *id && !it.is_public()), "{id} is not there");
    }
    drop(all);
    walk.app.finish().await;
}

#[tokio::test]
async fn public_operations_ask_for_no_credential_and_look_at_none() {
    let walk = Walk::over(App::start().await).await;
    let mut garbage = walk.app.anyone();
    garbage.token = Some("garbage".to_owned());
    for operation in operations(&walk.document).iter().filter(|found| found.is_public()) {
        for caller in [&walk.app.anyone(), &garbage] {
            let answer = walk.send(caller, operation, &[]).await;
            match operation.body(&walk.document) {
                None => assert_eq!(answer.status, 200, "{}", operation.id),
                // The credential is in the body, and the example's is not one of this App.
                Some(_) => {
                    assert_ne!(answer.problem(401), "this operation requires a bearer token");
                }
            }
        }
    }
    walk.app.finish().await;
}

#[tokio::test]
async fn every_operation_refuses_a_caller_without_a_good_credential() {
    let walk = Walk::over(App::start().await).await;
    let mut report = Report::default();
    let mut garbage = walk.app.anyone();
    garbage.token = Some("garbage".to_owned());
    for operation in &walk.guarded() {
        for (caller, error) in [(&walk.app.anyone(), false), (&garbage, true)] {
            let answer = walk.send_unknown(caller, operation).await;
            report.expect(operation, 401, &answer);
            // RFC 6750, section 3.1: an error code only for a credential that was there.
            let challenge = answer.headers.get("www-authenticate");
            let challenge = challenge.and_then(|value| value.to_str().ok()).unwrap_or_default();
            if challenge.contains("error=\"invalid_token\"") != error {
                report.fault(operation, challenge);
            }
        }
    }
    report.end(&walk);
    walk.app.finish().await;
}

#[tokio::test]
async fn every_operation_refuses_a_role_below_the_one_that_it_names() {
    let walk = Walk::over(App::start().await).await;
    let app = &walk.app;
    let mut report = Report::default();
    let (viewer, agent) = (app.caller(Role::Viewer).await, app.caller(Role::Agent).await);
    let operator = app.caller(Role::Operator).await;
    let other = app.active_topology(&operator).await;
    let wanted = json!({ "family": "topology", "id": other });
    let minted = viewer.post("/v1/stream-tokens", wanted).await.ok();
    let query = format!("?stream_token={}", minted["token"].as_str().expect("a token"));
    for operation in &walk.guarded() {
        let below = match operation.role() {
            Some(Role::Admin) => Some(&operator),
            Some(Role::Operator) => Some(&agent),
            Some(Role::Agent) => Some(&viewer),
            // There is no role below.
            Some(Role::Viewer) => None,
            None if is_in(ANY_ROLE, operation.id) => None,
            None => {
                report.fault(operation, "the description does not say `Requires the role ...`");
                continue;
            }
        };
        report.covers(operation);
        if let Some(caller) = below {
            // An unknown id, too: whoever may not learns nothing about what is there.
            report.expect(operation, 403, &walk.send_unknown(caller, operation).await);
        }
        if operation.is_stream() {
            let ids: Vec<_> = operation.ids().iter().map(|_| Uuid::now_v7()).collect();
            let path = format!("{}{query}", operation.path);
            let operation = Operation { path: &path, ..*operation };
            report.expect(&operation, 403, &walk.send(&app.anyone(), &operation, &ids).await);
        }
    }
    report.end(&walk);
    walk.app.finish().await;
}

#[tokio::test]
async fn every_operation_answers_404_for_ids_that_nobody_has_to_the_role_that_it_names() {
    let walk = Walk::over(App::start().await).await;
    let app = &walk.app;
    let mut report = Report::default();
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    for operation in &walk.guarded() {
        let caller = app.caller(operation.role().unwrap_or(Role::Viewer)).await;
        let ids = operation.ids();
        let in_body = operation.body(&walk.document).is_some_and(|body| !body["id"].is_null());
        if is_in(NO_ID, operation.id) {
            report.covers(operation);
            if in_body || !ids.is_empty() {
                report.fault(operation, "it has an id, and is in the list NO_ID");
            }
        } else if ids.is_empty() && (in_body || !operation.query().is_empty()) {
            report.expect(operation, 404, &walk.send(&caller, operation, &[]).await);
        }
        // Each id in turn is unknown, those before it are real.
        for unknown in 0..ids.len() {
            let known = match operation.path.split('/').nth(2) {
                Some("topologies") => Some(topology),
                Some("users") => Some(caller.id().await),
                Some("sessions") => Some(id_of(&caller.post("/v1/sessions", json!({})).await.ok())),
                _ => None,
            };
            let ids: Option<Vec<_>> = (0..ids.len())
                .map(|index| if index < unknown { known } else { Some(Uuid::now_v7()) })
                .collect();
            match ids {
                Some(ids) => {
                    let answer = walk.send(&caller, operation, &ids).await;
                    let is_own = unknown == 0 && is_in(OWN, operation.id);
                    report.expect(operation, if is_own { 403 } else { 404 }, &answer);
                }
                None => report.fault(operation, "no real id for the first part of the path"),
            }
        }
    }
    report.end(&walk);
    walk.app.finish().await;
}

#[tokio::test]
async fn every_operation_refuses_what_comes_once_too_often() {
    let limited = App::with(|config| {
        config.limits.requests_per_minute = 1;
        config.limits.stream_opens_per_minute = 1;
    });
    let walk = Walk::over(limited.await).await;
    let mut report = Report::default();
    let admin = walk.app.log_in("admin").await;
    for operation in &walk.guarded() {
        // Uses up what there is; a refusal here is as good.
        if operation.is_stream() {
            walk.send_unknown(&admin, operation).await;
        } else {
            admin.get("/v1/auth/me").await;
        }
        report.expect(operation, 429, &walk.send_unknown(&admin, operation).await);
    }
    report.end(&walk);
    walk.app.finish().await;
}
