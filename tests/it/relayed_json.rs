//! JSON that is only relayed comes out with the numbers and strings that went in, everywhere.

use entity::user::Role;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use reqwest::Method;
use serde_json::Value;
use streamgate::json::{MAX_DEPTH, parse, text};

use crate::support::{App, Caller, SseReader, soon};

/// Numbers that change if they become integers of 64 bits or doubles, and strings that a client could misread.
const ODD: &str = r#"{"n":[117.63331139400017,9007199254740991.0,18446744073709551616,-0,1e400,1E-7,5.00],"s":"a\u2028b\u0085</script>"}"#;

/// The lowest default depth limit of a JSON reader that we know.
const READER_DEPTH: usize = 64;

/// A gateway in which a user can have a stream of each family.
async fn app() -> App {
    App::with(|config| config.limits.streams_per_user = 100).await
}

/// Sends a body unchanged and returns the text of the response.
async fn send(caller: &Caller, path: &str, body: &str) -> String {
    let kind = if body.contains("}\n") { "application/x-ndjson" } else { "application/json" };
    let request = caller.request(Method::POST, path).header("Content-Type", kind);
    let answer = soon("answer", request.body(body.to_owned()).send()).await.expect("an answer");
    let status = answer.status();
    let text = answer.text().await.expect("a body");
    assert!(status.is_success(), "{path}: {status} {text}");
    text
}

async fn get(caller: &Caller, path: &str) -> String {
    let answer = soon("answer", caller.request(Method::GET, path).send()).await;
    answer.expect("an answer").text().await.expect("a body")
}

/// Parses a response. It may be deeper than a request, so the second parser does not count levels below 128.
fn read(text: &str) -> Value {
    parse(text.as_bytes()).unwrap_or_else(|_| serde_json::from_str(text).expect("JSON"))
}

fn id(text: &str, pointer: &str) -> String {
    read(text).pointer(pointer).and_then(Value::as_str).expect("an id").to_owned()
}

/// The data of the next event, as text. [`SseReader::next`] would parse it into doubles.
async fn data(reader: &mut SseReader) -> String {
    assert_eq!(reader.status(), 200, "{}", reader.head);
    loop {
        while let Some(end) = reader.body.windows(2).position(|bytes| bytes == b"\n\n") {
            let block = reader.body.drain(..end + 2).collect();
            let block = String::from_utf8(block).expect("UTF-8");
            if let Some(data) = block.lines().find_map(|line| line.strip_prefix("data: ")) {
                return data.to_owned();
            }
        }
        assert!(soon("event", reader.fill()).await, "the stream ended");
    }
}

/// Sends the JSON in every free field of every family. Returns each text in which it must occur, with a name.
async fn relay(app: &App, name: &str, json: &str) -> Vec<(&'static str, String)> {
    let operator = app.caller(Role::Operator).await;
    let agent = app.caller(Role::Agent).await;
    let mut seen = Vec::new();

    let new = format!(r#"{{"name":"{name}","config":{{"v":{json}}}}}"#);
    let created = send(&operator, "/v1/topologies", &new).await;
    let path = format!("/v1/topologies/{}", id(&created, "/id"));
    seen.push(("created topology", created));
    for status in ["deploying", "active"] {
        send(&operator, &format!("{path}/status"), &format!(r#"{{"status":"{status}"}}"#)).await;
    }
    let mut stream = operator.stream(&format!("{path}/stream"), "").await;
    seen.push(("topology snapshot", data(&mut stream).await));
    let mutation = format!(r#"{{"op":"add_lan","payload":{{"v":{json}}}}}"#);
    seen.push(("mutation", send(&operator, &format!("{path}/mutations"), &mutation).await));
    seen.push(("mutation list", get(&operator, &format!("{path}/mutations")).await));
    seen.push(("topology", get(&operator, &path).await));
    seen.push(("topology list", get(&operator, "/v1/topologies").await));
    let topic = format!("topology.{}", path.rsplit('/').next().expect("an id"));
    let mut merged = operator.stream(&format!("/v1/streams?topic={topic}"), "").await;
    seen.push(("merged snapshot", data(&mut merged).await));

    let path = format!("/v1/users/{}/notifications", operator.id().await);
    let mut stream = operator.stream(&format!("{path}/stream"), "").await;
    data(&mut stream).await;
    let new = format!(r#"{{"kind":"a.b","message":"m","data":{{"v":{json}}}}}"#);
    seen.push(("created notification", send(&agent, &path, &new).await));
    seen.push(("notification event", data(&mut stream).await));
    seen.push(("notification list", get(&operator, &path).await));
    seen.push(("notification page", get(&operator, &format!("{path}/events")).await));

    let created = send(&operator, "/v1/mcp-sessions", "{}").await;
    let path = format!("/v1/mcp-sessions/{}", id(&created, "/id"));
    let mut stream = operator.stream(&format!("{path}/stream"), "").await;
    data(&mut stream).await;
    let message = format!(r#"{{"jsonrpc":"2.0","id":18446744073709551616,"result":{json}}}"#);
    send(&operator, &format!("{path}/messages"), &message).await;
    seen.push(("message event", data(&mut stream).await));
    seen.push(("message page", get(&operator, &format!("{path}/events")).await));

    let new = format!(r#"{{"task_type":"t","input":{json}}}"#);
    let created = send(&operator, "/v1/tasks", &new).await;
    let path = format!("/v1/tasks/{}", id(&created, "/id"));
    seen.push(("created task", created));
    let mut stream = operator.stream(&format!("{path}/stream"), "").await;
    seen.push(("task snapshot", data(&mut stream).await));
    let claimed = send(&agent, "/v1/tasks/claim", r#"{"skills":["t"]}"#).await;
    let lease = id(&claimed, "/0/lease_token");
    seen.push(("claimed task", claimed));
    data(&mut stream).await;
    for (seq, append) in [(1, false), (2, true)] {
        let chunk =
            format!(r#""artifact":{{"artifact_id":"a","append":{append},"data":[{json}]}}"#);
        let report = format!(r#"{{"lease_token":"{lease}","seq":{seq},{chunk}}}"#);
        seen.push(("reported task", send(&agent, &format!("{path}/report"), &report).await));
        seen.push(("artifact event", data(&mut stream).await));
    }
    let end =
        format!(r#"{{"lease_token":"{lease}","seq":3,"status":"completed","output":{json}}}"#);
    send(&agent, &format!("{path}/report"), &end).await;
    seen.push(("output event", data(&mut stream).await));
    seen.push(("task", get(&operator, &path).await));
    seen.push(("task page", get(&operator, &format!("{path}/events?limit=200")).await));
    seen.push(("task list", get(&operator, "/v1/tasks").await));

    let session = id(&send(&operator, "/v1/sessions", "{}").await, "/id");
    let path = format!("/v1/sessions/{session}/prompts");
    let path = format!("{path}/{}", id(&send(&operator, &path, r#"{"prompt":"?"}"#).await, "/id"));
    let mut stream = operator.stream(&format!("{path}/stream"), "").await;
    data(&mut stream).await;
    let event = format!(r#"{{"kind":"message","data":{json}}}"#);
    let lines = format!("{event}\n");
    for body in [event, lines] {
        send(&agent, &format!("{path}/events"), &body).await;
        seen.push(("prompt event", data(&mut stream).await));
        seen.push(("prompt page", get(&operator, &format!("{path}/events")).await));
    }
    let mut stream = operator.stream(&format!("{path}/stream"), "").await;
    seen.push(("prompt snapshot", data(&mut stream).await));
    seen
}

/// Whether the value is the wanted one, or contains it.
fn contains(value: &Value, wanted: &Value) -> bool {
    value == wanted
        || match value {
            Value::Array(items) => items.iter().any(|item| contains(item, wanted)),
            Value::Object(members) => members.values().any(|member| contains(member, wanted)),
            _ => false,
        }
}

/// The number of levels of arrays and objects.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[tokio::test]
async fn numbers_keep_their_text_and_strings_their_value() {
    let app = app().await;
    for (place, text) in relay(&app, "odd", ODD).await {
        let numbers = ODD.split_once(r#","s""#).expect("numbers").0;
        assert!(text.contains(numbers), "{place}: {text}");
        let value: Value = serde_json::from_str(&text.replace("1e400", "1")).expect("JSON");
        let string = Value::from("a\u{2028}b\u{85}</script>");
        assert!(contains(&value, &string), "{place}: {text}");
        if place.ends_with("event") || place.ends_with("snapshot") {
            // Several clients end a line at these characters.
            assert!(!text.contains(['\u{2028}', '\u{85}']), "{place}: {text}");
        }
    }
    app.finish().await;
}

/// JSON text with any numbers, strings and keys, up to `levels` deep.
fn any_json(levels: u32) -> impl Strategy<Value = String> {
    let string = any::<String>().prop_map(|string| Value::from(string).to_string());
    let number = "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?";
    let leaf = prop_oneof![
        4 => number.prop_map(|number| number),
        2 => string.clone(),
        1 => prop_oneof![Just("null"), Just("true"), Just("false")].prop_map(str::to_owned),
    ];
    leaf.prop_recursive(levels, 40, 4, move |inner| {
        let member = (string.clone(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..4).prop_map(|members| {
                let members: std::collections::BTreeMap<_, _> = members.into_iter().collect();
                let members = members.iter().map(|(key, value)| format!("{key}:{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

#[tokio::test]
async fn any_json_comes_out_of_every_family_unchanged() {
    let app = app().await;
    let mut runner = TestRunner::deterministic();
    let random = any_json(8);
    for number in 0..10 {
        let json = random.new_tree(&mut runner).expect("JSON").current();
        let json = format!(r#"[{json},"{number}"]"#);
        let sent = parse(json.as_bytes()).expect("JSON");
        for (place, text) in relay(&app, &format!("any {number}"), &json).await {
            let told = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(contains(&told, &sent), "{place}: {json} became {text}");
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn deepest_accepted_json_can_be_read_back() {
    let app = app().await;
    // An artifact has the most levels around it: those of the report, the artifact and the array.
    let deepest = MAX_DEPTH - 3;
    let json = "[".repeat(deepest) + "1" + &"]".repeat(deepest);
    for (place, text) in relay(&app, "deep", &json).await {
        let levels = depth(&read(&text));
        assert!(text.contains(&json) && levels < READER_DEPTH, "{place}: {levels} levels");
    }
    app.finish().await;
}

#[test]
fn what_is_relayed_is_written_without_the_parsers_own_keys() {
    let value = parse(ODD.as_bytes()).expect("JSON");
    assert!(!text(&value).contains("$serde_json"), "{}", text(&value));
}
