//! Sends the request of every operation, and collects the faults of the responses.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::documented_statuses::operation::programs;
use crate::support::{Answer, App, Caller, openapi::Operation};

/// A gateway and its document as served.
pub struct Walker {
    pub app: App,
    pub document: Value,
}

impl Walker {
    pub async fn over(app: App) -> Self {
        let document = app.anyone().get("/openapi.json").await.ok();
        Self { app, document }
    }

    /// The operations that need a credential.
    pub fn guarded(&self) -> Vec<Operation<'_>> {
        programs(&self.document).into_iter().filter(|found| !found.is_public()).collect()
    }

    /// Sends the operation's request with these ids in the path and the body of the example.
    pub async fn send(&self, caller: &Caller, operation: &Operation<'_>, ids: &[Uuid]) -> Answer {
        send(&self.document, caller, operation, (ids.to_vec(), None)).await
    }

    /// Sends the request with ids that do not exist.
    pub async fn send_unknown(&self, caller: &Caller, operation: &Operation<'_>) -> Answer {
        let ids: Vec<_> = operation.ids().iter().map(|_| Uuid::now_v7()).collect();
        self.send(caller, operation, &ids).await
    }
}

/// Ids for the path of a request, and its body. Without a body, the request has that of the document's example.
pub type Request = (Vec<Uuid>, Option<Value>);

/// Sends a request of an operation.
pub async fn send(
    document: &Value,
    caller: &Caller,
    operation: &Operation<'_>,
    (ids, body): Request,
) -> Answer {
    assert_eq!(operation.ids().len(), ids.len(), "{}", operation.id);
    let path = operation.path_with(ids.iter().map(Uuid::to_string));
    let query = operation.query().join("&");
    let separator = if path.contains('?') { "&" } else { "?" };
    let path = if query.is_empty() { path } else { format!("{path}{separator}{query}") };
    let method = operation.method.to_uppercase();
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    caller.call(method, &path, body.or_else(|| operation.body(document))).await
}

/// The operations that were tried, and their faults. All faults are reported together.
#[derive(Default)]
pub struct Report {
    pub tried: BTreeSet<String>,
    pub faults: Vec<String>,
}

impl Report {
    /// Marks the operation as covered.
    pub fn covers(&mut self, operation: &Operation<'_>) {
        self.tried.insert(operation.id.to_owned());
    }

    pub fn fault(&mut self, operation: &Operation<'_>, what: &str) {
        self.faults.push(format!("{}: {what}", operation.id));
    }

    /// Checks a refusal.
    pub fn expect(&mut self, operation: &Operation<'_>, status: u16, answer: &Answer) {
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

    /// Checks that there are no faults and that no operation was left out.
    #[track_caller]
    pub fn end(mut self, walker: &Walker) {
        for operation in walker.guarded() {
            if !self.tried.contains(operation.id) {
                self.fault(&operation, "no rule covers this operation");
            }
        }
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
        assert!(self.tried.len() > 10, "too few operations: {:?}", self.tried);
    }
}
