//! Every refusal that the document lists can happen, except for those of [`NOT_PROVOKED`]. 401, 403, 404 and 429 are in
//! `refusals.rs` and `public.rs`.

use std::{collections::BTreeMap, iter::repeat_with};

use futures_util::future::join_all;
use reqwest::{Method, header};
use uuid::Uuid;

use crate::{
    documented_statuses::operation::programs,
    documented_statuses::{
        resources::Resources,
        walker::{Report, Walker, send},
    },
    support::{
        Answer, App, Caller, PASSWORD, Store,
        disk::{Ballast, Disk, is_root, write_until_refused},
        openapi::Operation,
        process::{ADMIN, Process, streamgate},
        raw::{head, raw},
    },
};

/// Statuses that no test here provokes, each with the reason.
const NOT_PROVOKED: [(u16, &str, &str); 28] = [
    (
        401,
        "",
        "every operation lists it; those that can answer it are in refusals.rs and public.rs",
    ),
    (403, "", "every operation lists it; those that can answer it are in refusals.rs"),
    (404, "", "every operation lists it; those that can answer it are in refusals.rs"),
    (429, "", "in refusals.rs and public.rs"),
    (500, "", "a fault of the program, which no request can provoke"),
    (409, "api_key_create", "needs 100 keys; see api_keys.rs"),
    (409, "oauth_grant_token", "needs a provider; see oauth/work.rs"),
    (400, "oauth_grant_authorize", "has one parameter, and any text is a name"),
    (400, "oauth_grant_delete", "has one parameter, and any text is a name"),
    (507, "oauth_grant_authorize", "needs a provider, which the walker has not"),
    (507, "oauth_grant_delete", "needs a grant, which the walker has not"),
    (507, "oauth_grant_token", "needs a provider, which the walker has not"),
    (409, "tunnel_share_set", "needs the owner, whose name is no id; see tunnels/shares.rs"),
    (409, "task_create", "needs 1,000 tasks; see tasks/create.rs"),
    (400, "tunnel_metadata_get", "any text is a name"),
    (400, "named_tunnel_metadata_get", "any text is a name"),
    (400, "mcp_post_named", "any text is a name; see tunnels/mcp"),
    (400, "mcp_open_named", "any text is a name; see tunnels/mcp"),
    (400, "mcp_end_named", "any text is a name; see tunnels/mcp"),
    (400, "mcp_open_sse_named", "any text is a name; see tunnels/mcp"),
    (507, "mcp_post_sse", "needs a connected tunnel client, whose connection writes, too"),
    (507, "mcp_post_sse_named", "needs a connected tunnel client, whose connection writes, too"),
    (507, "mcp_post", "needs a connected tunnel client, whose connection writes, too"),
    (507, "mcp_post_named", "needs a connected tunnel client, whose connection writes, too"),
    (507, "mcp_end", "needs a session, which the walker has not"),
    (507, "mcp_end_named", "needs a session, which the walker has not"),
    (504, "tunnel_request", "needs a server that does not answer; see tunnels/request.rs"),
    (409, "prompt_create", "needs 1,000 prompts; see prompts/create.rs"),
];

/// The statuses that the tests of this file provoke.
const PROVOKED: [u16; 9] = [400, 408, 409, 410, 413, 415, 431, 503, 507];

/// A cursor that belongs to no topic.
const CURSOR: &str = "2f1a3b9c-42-5d8e01f7";

fn documents(operation: &Operation<'_>, status: u16) -> bool {
    let is_listed = |(number, id, _): &(u16, &str, &str)| {
        *number == status && (id.is_empty() || *id == operation.id)
    };
    operation.value["responses"].get(status.to_string()).is_some()
        && !NOT_PROVOKED.iter().any(is_listed)
}

/// The operations that document this status.
fn with(walker: &Walker, status: u16) -> Vec<Operation<'_>> {
    let mut all = programs(&walker.document);
    all.retain(|operation| documents(operation, status));
    assert!(!all.is_empty(), "no operation documents {status}");
    all
}

/// The path with unknown ids and the required query parameters.
fn path(operation: &Operation<'_>) -> String {
    let path = operation.path_with(repeat_with(|| Uuid::now_v7().to_string()));
    let query = operation.query().join("&");
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

fn check(report: &mut Report, operation: &Operation<'_>, status: u16, answer: &Answer) {
    report.covers(operation);
    if answer.status != status {
        report.fault(operation, &format!("{status} expected, not {answer:?}"));
    }
}

fn end(report: &Report) {
    assert!(report.tried.len() > 2, "too few operations: {:?}", report.tried);
    assert!(report.faults.is_empty(), "{}", report.faults.join("\n"));
}

#[tokio::test]
async fn every_documented_refusal_is_provoked_or_has_a_reason() {
    let walker = Walker::over(App::start().await).await;
    let mut faults = Vec::new();
    for operation in programs(&walker.document) {
        let responses = operation.value["responses"].as_object().expect("responses");
        let statuses = responses.keys().map(|status| status.parse::<u16>().expect("a status"));
        for status in statuses.filter(|status| *status >= 400) {
            if documents(&operation, status) && !PROVOKED.contains(&status) {
                faults.push(format!("{}: {status}", operation.id));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:?}");
    for (status, id, _) in NOT_PROVOKED.iter().filter(|(_, id, _)| !id.is_empty()) {
        let listed = programs(&walker.document).into_iter().find(|operation| operation.id == *id);
        let listed = listed.unwrap_or_else(|| panic!("{id} is not in the document"));
        assert!(listed.value["responses"].get(status.to_string()).is_some(), "{id}: {status}");
    }
    walker.app.finish().await;
}

#[tokio::test]
async fn every_documented_400_answers_a_bad_request() {
    let walker = Walker::over(App::start().await).await;
    let mut report = Report::default();
    let admin = walker.app.log_in("admin").await;
    for operation in &with(&walker, 400) {
        let path = operation.path_with(repeat_with(|| "not-an-id".to_owned()));
        // No operation accepts a space as one of these parameters. An operation ignores those that it does not have.
        let path = format!("{path}?topic=%20&after=%20&limit=%20");
        let method = Method::from_bytes(operation.method.to_uppercase().as_bytes());
        let request = admin.request(method.expect("a method"), &path);
        let request = match operation.body(&walker.document) {
            Some(_) => request.header(header::CONTENT_TYPE, "application/json").body("{"),
            None => request,
        };
        check(&mut report, operation, 400, &Caller::answer(request).await);
    }
    end(&report);
    walker.app.finish().await;
}

/// The head of a request with these lines.
fn head_of(operation: &Operation<'_>, caller: &Caller, lines: &str) -> String {
    let token = caller.token.as_deref().expect("a token");
    let lines = format!("Authorization: Bearer {token}\r\n{lines}");
    head(&operation.method.to_uppercase(), &path(operation), &lines)
}

#[tokio::test]
async fn every_operation_refuses_a_wrong_body_or_a_large_head() {
    let app = App::with(|config| config.server.body_timeout_seconds = 1).await;
    let walker = Walker::over(app).await;
    let mut report = Report::default();
    let admin = walker.app.log_in("admin").await;
    let json = "Content-Type: application/json\r\n";
    for (status, lines) in [
        (413, format!("{json}Content-Length: 100000000\r\n")),
        (415, "Content-Type: text/plain\r\nContent-Length: 2\r\n".to_owned()),
        (431, format!("X-Padding: {}\r\n", "x".repeat(100_000))),
    ] {
        for operation in &with(&walker, status) {
            let request = head_of(operation, &admin, &lines) + "{}";
            check(&mut report, operation, status, &raw(&walker.app, request.as_bytes()).await);
        }
    }
    // The bodies never arrive. All requests wait at the same time.
    let waiting = with(&walker, 408);
    let answers = waiting.iter().map(async |operation| {
        let request = head_of(operation, &admin, &format!("{json}Content-Length: 2\r\n"));
        (operation, raw(&walker.app, request.as_bytes()).await)
    });
    for (operation, answer) in join_all(answers).await {
        check(&mut report, operation, 408, &answer);
    }
    end(&report);
    walker.app.finish().await;
}

#[tokio::test]
async fn every_documented_409_and_410_happens() {
    let walker = Walker::over(App::start().await).await;
    let mut report = Report::default();
    let admin = walker.app.log_in("admin").await;
    let resources = Resources::new(&admin, PASSWORD).await;
    for operation in &with(&walker, 409) {
        let Some((ids, body)) = resources.conflicting(operation.id) else {
            report.fault(operation, "resources.rs has no request that conflicts");
            continue;
        };
        let answer = send(&walker.document, &admin, operation, (ids, body)).await;
        check(&mut report, operation, 409, &answer);
    }
    for operation in &with(&walker, 410) {
        let ids = resources.with_events(operation.id);
        let path = format!("{}?after={CURSOR}", operation.path);
        let answer = walker.send(&admin, &Operation { path: &path, ..*operation }, &ids).await;
        check(&mut report, operation, 410, &answer);
    }
    end(&report);
    walker.app.finish().await;
}

/// All connections to the database are in use, so every operation that needs one is refused after a wait.
#[tokio::test]
async fn every_documented_503_happens_without_the_database() {
    const CONNECTIONS: u32 = 2;
    let app = App::with(|config| config.database.pool_size = CONNECTIONS).await;
    let walker = Walker::over(app).await;
    let mut report = Report::default();
    // The first request of a login session looks it up.
    let admin = walker.app.log_in("admin").await;
    let database = &walker.app.gateway.database;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(database.begin_read().await.expect("a connection"));
    }
    // SQLite has one more connection, for writes.
    let has_writer = walker.app.store.as_ref().is_some_and(|store| store.url().is_none());
    if has_writer {
        held.push(database.begin_write().await.expect("a connection"));
    }
    let without_database = programs(&walker.document);
    let answers = without_database
        .iter()
        .map(async |operation| (operation, walker.send_unknown(&admin, operation).await));
    for (operation, answer) in join_all(answers).await {
        if documents(operation, 503) {
            check(&mut report, operation, 503, &answer);
        } else if answer.status != 200 {
            report.fault(operation, &format!("503 is not documented: {answer:?}"));
        }
    }
    drop(held);
    end(&report);
    walker.app.finish().await;
}

/// A full file system. SQLite only, because only there the data directory of the gateway has the database.
#[tokio::test]
async fn every_documented_507_happens_on_a_full_disk() {
    let store = Store::new().await;
    if store.url().is_some() || !is_root().await {
        return;
    }
    let disk = Disk::mount(&store, "32m").await;
    let mut command = streamgate(&store, ["serve"]);
    command.env("STREAMGATE_ADMIN_PASSWORD", ADMIN);
    command.env("STREAMGATE_LIMITS__LOGINS_PER_MINUTE_PER_ADDRESS", "1000");
    let process = Process::start(&mut command).await;
    let admin = process.log_in("admin", ADMIN).await;
    let document = process.anyone().get("/openapi.json").await.ok();
    let resources = Resources::new(&admin, ADMIN).await;
    let all = programs(&document);
    let mut urls = BTreeMap::new();
    for operation in all.iter().filter(|operation| operation.is_stream()) {
        urls.insert(operation.id, resources.single_use_url(&admin, operation.id).await);
    }
    let anyone = process.anyone();
    let stream = resources.stream(&admin).await;
    let connection = stream.header("x-request-id").and_then(|id| id.parse().ok()).expect("an id");
    let ballast = Ballast::on(&disk.0);
    ballast.fill_except(0);
    let refused = write_until_refused(&admin).await;
    assert_eq!(refused.status, 507, "{refused:?}");

    let mut report = Report::default();
    for operation in all.iter().filter(|operation| documents(operation, 507)) {
        let answer = match (operation.id, urls.get(operation.id)) {
            (_, Some(url)) => anyone.get(url).await,
            ("connection_delete", _) => {
                send(&document, &admin, operation, (vec![connection], None)).await
            }
            (id, _) => send(&document, &admin, operation, resources.writing(id)).await,
        };
        check(&mut report, operation, 507, &answer);
    }
    end(&report);
    drop((stream, process));
    drop(disk);
    store.remove().await;
}
