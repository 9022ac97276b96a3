//! `POST .../prompts/{pid}/events`: one event, an array or NDJSON, published whole or not at all.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Answer, App, Caller,
    prompt::{
        claim, create, event, events, kinds, lines, message, owner_and_agent, publish, status,
    },
};

/// Publishes a body unchanged.
async fn publish_raw(agent: &Caller, path: &str, kind: &str, body: impl Into<String>) -> Answer {
    let request = agent.request(Method::POST, &format!("{path}/events"));
    Caller::answer(request.header("Content-Type", kind).body(body.into())).await
}

const NDJSON: &str = "application/x-ndjson";

#[tokio::test]
async fn one_event_an_array_and_ndjson_are_published_unchanged() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let created = create(&owner).await;
    let data = json!({ "text": "a\u{2028}b\0", "list": [1.5, null, true], "deep": { "x": {} } });
    let kinds_of = ["message", "tool_use", "tool_result", "usage"];
    let many: Vec<Value> =
        kinds_of.iter().map(|kind| json!({ "kind": kind, "data": data })).collect();
    let one = json!({ "kind": "message", "data": "just a text" });
    let mut lasts = Vec::new();
    let mut answered = |answer: Answer, count: usize| {
        assert_eq!((answer.status.as_u16(), &answer.body["count"]), (201, &json!(count)));
        lasts.push(answer.body["last"].clone());
    };
    answered(publish(&agent, &created.path, &Value::Null, one.clone()).await, 1);
    answered(publish(&agent, &created.path, &Value::Null, json!(many)).await, 4);
    answered(publish_raw(&agent, &created.path, NDJSON, lines(&many)).await, 4);
    // The last line may lack its line end, lines may end with CRLF, and data may be absent.
    let windows = "{\"kind\":\"message\"}\r\n{\"kind\":\"message\",\"data\":null}";
    let kind = "Application/X-NDJSON; charset=utf-8";
    answered(publish_raw(&agent, &created.path, kind, windows).await, 2);
    let null = json!({ "kind": "message", "data": null });
    let expected = [vec![one], many.clone(), many, vec![null.clone(), null]].concat();
    let told = events(&owner, &created.path).await;
    for (told, expected) in told.iter().zip(&expected) {
        assert_eq!((&told["kind"], &told["data"]), (&expected["kind"], &expected["data"]));
    }
    let at: Vec<Value> = [0, 4, 8, 10].iter().map(|at: &usize| told[*at]["id"].clone()).collect();
    assert_eq!((told.len(), at), (expected.len(), lasts));
    app.finish().await;
}

#[tokio::test]
async fn batch_with_one_fault_is_refused_as_a_whole() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let created = create(&owner).await;
    let path = &created.path;
    let good = message(1);
    let long = json!({ "kind": "message", "data": "x".repeat(65_535) });
    for (fault, at) in [
        (json!({ "kind": "explode", "data": 1 }), 1),
        (json!({ "kind": "status", "data": 1 }), 1),
        (json!({ "data": 1 }), 1),
        (json!({ "kind": "message", "data": 1, "extra": 1 }), 1),
        (json!({ "kind": 7 }), 1),
        (json!("message"), 1),
        (Value::Null, 1),
        (json!([good]), 1),
        (long, 1),
        // The event after the terminal event is the fault.
        (event("complete"), 2),
        (event("cancelled"), 2),
        (event("error"), 2),
    ] {
        let batch = [good.clone(), fault, good.clone()];
        for (place, answer) in [
            (format!("events[{at}]"), publish(&agent, path, &Value::Null, json!(batch)).await),
            (format!("line {}", at + 1), publish_raw(&agent, path, NDJSON, lines(&batch)).await),
        ] {
            let detail = answer.problem(400);
            assert!(detail.contains(&place), "{batch:?}: {detail}");
        }
    }
    let too_many = vec![good.clone(); 1_001];
    for body in ["[]".to_owned(), json!(too_many).to_string(), String::new(), "{".to_owned()] {
        publish_raw(&agent, path, "application/json", body).await.problem(400);
    }
    let nested = format!("{good}\n{}", "[".repeat(200));
    let spread = serde_json::to_string_pretty(&good).expect("JSON");
    let twice = format!("{good}{good}\n");
    let private = r#"{"kind":"message","data":{"$serde_json::private::RawValue":"[1]"}}"#;
    let lines = [
        lines(&too_many),
        String::new(),
        "\n".to_owned(),
        nested,
        spread,
        twice,
        format!("{good}\n{private}\n"),
    ];
    for body in lines {
        publish_raw(&agent, path, NDJSON, body).await.problem(400);
    }
    publish_raw(&agent, path, "Application/JSON", private).await.problem(400);
    for kind in ["text/plain", "application/jsonl", "application/ndjson"] {
        publish_raw(&agent, path, kind, good.to_string()).await.problem(415);
    }
    // No event was published.
    assert_eq!(events(&owner, path).await, Vec::<Value>::new());
    assert_eq!(status(&owner, path).await, "queued");
    // The largest event and the largest batch are accepted.
    let most = json!({ "kind": "message", "data": "x".repeat(65_534) });
    publish(&agent, path, &Value::Null, most).await.ok();
    publish(&agent, path, &Value::Null, json!(vec![good; 1_000])).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn one_batch_can_begin_and_end_a_prompt() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    for (last, end) in [("complete", "completed"), ("cancelled", "cancelled"), ("error", "failed")]
    {
        for is_claimed in [false, true] {
            let created = create(&owner).await;
            let claimed = if is_claimed { claim(&agent).await } else { Value::Null };
            let batch = json!([message(1), event("usage"), event(last)]);
            let answer = publish(&agent, &created.path, &claimed, batch).await.ok();
            let told = events(&owner, &created.path).await;
            let before = usize::from(is_claimed);
            assert_eq!(kinds(&told)[before..], ["message", "usage", last]);
            assert_eq!(told.last().expect("events")["id"], answer["last"]);
            assert_eq!(status(&owner, &created.path).await, end);
        }
    }
    app.finish().await;
}
