//! The fields of log lines: the same names with the same types on every line.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Caller, SseReader, Store, id_of,
    process::{ADMIN, Process, streamgate},
};

const CORRELATION: &str = "order-4711/a";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// The headers of a caller that names its request.
fn named() -> String {
    format!("X-Correlation-Id: {CORRELATION}\r\ntraceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n")
}

async fn start(store: &Store) -> Process {
    let mut serve = streamgate(store, ["serve"]);
    serve.env("STREAMGATE_ADMIN_PASSWORD", ADMIN).env("STREAMGATE_LOG__FORMAT", "json");
    Process::start(&mut serve).await
}

/// The lines with this message, about this request.
fn about<'a>(lines: &'a [Value], message: &str, request: &str) -> Vec<&'a Value> {
    lines
        .iter()
        .filter(|line| line["message"] == message && line["request_id"] == *request)
        .collect()
}

/// The only line with this message, about this request.
fn line<'a>(lines: &'a [Value], message: &str, request: &str) -> &'a Value {
    let found = about(lines, message, request);
    let [line] = found[..] else { panic!("not one line `{message}` of {request}: {lines:#?}") };
    line
}

fn parse(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).expect("JSON on every line")).collect()
}

/// The id of the request of a stream.
fn request_of(reader: &SseReader) -> String {
    reader.header("x-request-id").expect("an id").to_owned()
}

#[tokio::test]
async fn request_line_names_user_address_operation_and_caller_ids() {
    let store = Store::new().await;
    let process = start(&store).await;
    let admin = process.log_in("admin", ADMIN).await;
    let me = admin.get("/v1/auth/me").await.ok();
    let call = async |caller: &Caller, headers: &str| {
        let response = caller.stream("/v1/auth/me", headers).await;
        let echoed = response.header("x-correlation-id").map(str::to_owned);
        (response.status(), request_of(&response), echoed)
    };
    let (status, ok, echoed) = call(&admin, &named()).await;
    assert_eq!((status, echoed.as_deref()), (200, Some(CORRELATION)));
    let (status, refused, echoed) = call(&process.anyone(), &named()).await;
    assert_eq!((status, echoed.as_deref()), (401, Some(CORRELATION)), "a refusal is named too");
    let forged = "X-Correlation-Id: two words\r\ntraceparent: 00-1-1-01\r\n";
    let (status, ignored, echoed) = call(&admin, forged).await;
    assert_eq!((status, echoed), (200, None), "an id with a wrong form is ignored");
    let twice = "X-Correlation-Id: one\r\nX-Correlation-Id: two\r\n";
    let (status, _, echoed) = call(&admin, twice).await;
    assert_eq!((status, echoed), (200, None), "two ids are none");
    let lines = parse(&process.stop().await);

    let of = |request: &str| line(&lines, "request finished", request);
    let ok = of(&ok);
    for (field, value) in [
        ("level", json!("INFO")),
        ("method", json!("GET")),
        ("path", json!("/v1/auth/me")),
        ("status", json!(200)),
        ("user", me["id"].clone()),
        ("address", json!("127.0.0.1")),
        ("scheme", json!("http")),
        ("operation", json!("caller_get")),
        ("correlation_id", json!(CORRELATION)),
        ("trace_id", json!(TRACE)),
    ] {
        assert_eq!(ok[field], value, "{field}");
    }
    assert!(ok["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0 && seconds < 60.0), "{ok}");
    let refused = of(&refused);
    assert_eq!((&refused["user"], &refused["operation"]), (&Value::Null, &json!("caller_get")));
    assert_eq!(refused["correlation_id"], CORRELATION);
    let ignored = of(&ignored);
    assert_eq!((&ignored["correlation_id"], &ignored["trace_id"]), (&Value::Null, &Value::Null));
    let logins = lines.iter().filter(|line| line["operation"] == "auth_login");
    let logins: Vec<&Value> = logins.map(|line| &line["user"]).collect();
    assert_eq!(logins, [&me["id"]], "a login names its user");
    store.remove().await;
}

#[tokio::test]
async fn stream_end_is_logged_with_reason_time_and_events() {
    let store = Store::new().await;
    let process = start(&store).await;
    let admin = process.log_in("admin", ADMIN).await;
    let other = process.log_in("admin", ADMIN).await;
    let me = admin.get("/v1/auth/me").await.ok();
    let id = id_of(&admin.post("/v1/topologies", json!({ "name": "lab" })).await.ok());
    let path = format!("/v1/topologies/{id}/stream");
    let open = async |caller: &Caller, query: &str| {
        let mut reader = caller.stream(&format!("{path}{query}"), &named()).await;
        assert_eq!(reader.header("x-correlation-id"), Some(CORRELATION));
        reader.expect("snapshot").await;
        reader
    };
    let mut expected = Vec::new();

    let mut bounded = open(&admin, "?max_events=1").await;
    bounded.expect_end().await;
    expected.push((request_of(&bounded), "max_events", 1));

    let mut gone = open(&admin, "").await;
    admin.set_status(id, "deploying").await.ok();
    gone.expect("status").await;
    expected.push((request_of(&gone), "client_gone", 2));
    drop(gone);

    let mut timed = open(&admin, "?max_seconds=1").await;
    timed.expect("stream.closed").await;
    expected.push((request_of(&timed), "max_seconds", 1));

    let mut logged_out = open(&other, "").await;
    assert_eq!(other.post("/v1/auth/logout", json!(null)).await.status, 204);
    logged_out.expect("stream.closed").await;
    expected.push((request_of(&logged_out), "session_revoked", 1));

    let mut disconnected = open(&admin, "").await;
    let connection = request_of(&disconnected);
    let deleted = admin.call(Method::DELETE, &format!("/v1/connections/{connection}"), None).await;
    assert_eq!(deleted.status, 204);
    disconnected.expect("stream.closed").await;
    expected.push((connection, "disconnected", 1));

    let mut many = admin.stream(&format!("/v1/streams?topic=topology.{id}"), "").await;
    many.expect("snapshot").await;
    let mut stopped = open(&admin, "").await;
    let merged = request_of(&many);
    expected.push((request_of(&stopped), "shutdown", 1));
    process.signal("TERM").await;
    for reader in [&mut many, &mut stopped] {
        reader.expect("stream.closed").await;
    }
    drop((bounded, timed, logged_out, disconnected, many, stopped));
    let lines = parse(&process.ended().await);

    for (request, reason, events) in expected {
        let line = line(&lines, "stream ended", &request);
        for (field, value) in [
            ("level", json!("INFO")),
            ("reason", json!(reason)),
            ("events", json!(events)),
            ("lag", json!(0)),
            ("user", me["id"].clone()),
            ("address", json!("127.0.0.1")),
            ("operation", json!("topology_stream")),
            ("correlation_id", json!(CORRELATION)),
            ("trace_id", json!(TRACE)),
        ] {
            assert_eq!(line[field], value, "{reason}: {field}");
        }
        let seconds = line["seconds"].as_f64().expect("a number");
        let least = if reason == "max_seconds" { 1.0 } else { 0.0 };
        assert!(seconds >= least && seconds < 60.0, "{reason}: {seconds}");
    }
    let merged = line(&lines, "stream ended", &merged);
    assert_eq!(merged["operation"], "topic_stream");
    assert_eq!((&merged["reason"], &merged["events"]), (&json!("shutdown"), &json!(1)));
    store.remove().await;
}

/// The members of a JSON object, in which no name is twice.
#[derive(serde::Deserialize)]
struct Members(#[serde(deserialize_with = "members")] BTreeMap<String, Value>);

fn members<'de, D: serde::Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Value>, D::Error> {
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = BTreeMap<String, Value>;
        fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Self::Value, A::Error> {
            let mut members = BTreeMap::new();
            while let Some((name, value)) = map.next_entry::<String, Value>()? {
                assert_eq!(members.insert(name.clone(), value), None, "{name} is twice");
            }
            Ok(members)
        }
    }
    from.deserialize_map(Visitor)
}

#[tokio::test]
async fn each_log_field_has_one_type_on_every_line() {
    let store = Store::new().await;
    let process = start(&store).await;
    let admin = process.log_in("admin", ADMIN).await;
    let id = id_of(&admin.post("/v1/topologies", json!({ "name": "lab" })).await.ok());
    let mut reader = admin.watch(id, "").await;
    reader.expect("snapshot").await;
    assert_eq!(process.anyone().get("/nowhere").await.status, 404);
    process.signal("HUP").await;
    process.logs("SIGHUP").await;
    drop(reader);
    process.logs("stream ended").await;
    let log = process.stop().await;
    let mut types = BTreeMap::<String, (bool, String)>::new();
    for line in log.lines() {
        let Members(members) = serde_json::from_str(line).expect("JSON");
        for required in ["timestamp", "level", "target", "message"] {
            assert!(members.contains_key(required), "{required}: {line}");
        }
        for (name, value) in members {
            assert!(value.is_number() || value.is_string(), "{name} is flat: {line}");
            let is_number = value.as_str().is_none_or(|text| text.parse::<f64>().is_ok());
            assert_eq!(is_number, value.is_number(), "{name} is a number as text: {line}");
            let (known, first) = types.entry(name.clone()).or_insert((is_number, line.to_owned()));
            assert_eq!(*known, is_number, "{name} has two types: {first} and {line}");
        }
    }
    for number in ["status", "seconds", "events", "lag", "descriptors"] {
        assert!(types.get(number).is_some_and(|(is_number, _)| *is_number), "{number}");
    }
    store.remove().await;
}
