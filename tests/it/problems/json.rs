//! Bodies that are JSON only almost, or of another type than the field.

use entity::user::Role;
use reqwest::Method;
use serde_json::Value;

use crate::support::{
    App, Caller,
    prompt::{create, events, owner_and_agent},
    raw::problem,
};

/// Posts bytes unchanged. Returns the `detail` of the problem, which must be a 400.
async fn refused(caller: &Caller, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> String {
    let request = caller.request(Method::POST, path).header("Content-Type", kind);
    let answer = Caller::answer(request.body(body.into())).await;
    let detail = problem(answer, 400, "bad-request");
    assert!(!detail.contains("$serde_json") || detail.contains("not allowed"), "{detail}");
    detail
}

#[tokio::test]
async fn body_that_is_not_strict_json_names_its_place() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let deep = |levels| format!(r#"{{"name":"a","config":{{"v":{}"#, "[".repeat(levels));
    let long = format!(r#"{{"{}":[}}"#, "k".repeat(100_000));
    for (body, detail) in [
        (&b""[..], "the body is empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"{\"name\":\"\xff\"}", "not UTF-8 at line 1, column 10"),
        (b"{\"name\":\"a\"}\n}", "unexpected text after the JSON value at line 2, column 1"),
        (br#"{"name":"a","name":"a"}"#, "duplicate key at line 1, column 13 (JSON pointer /name)"),
        (br#"{"name":"a","n\u0061me":"b"}"#, "duplicate key"),
        (br#"{"name":"a","config":{"x":[{"r":1,"\u0072":1}]}}"#, "(JSON pointer /config/x/0/r)"),
        (br#"{"name":"\ud800"}"#, "lone surrogate"),
        (br#"{"name":"a","config":{"\udfff":1}}"#, "lone surrogate"),
        (br#"{"name":"a","config":{"x":"\ud83dA"}}"#, "(JSON pointer /config/x)"),
        (br#"{"name":"a","config":{"x":01}}"#, "must not start with 0"),
        (br#"{"name":"a","config":{"x":NaN}}"#, "expected a JSON value"),
        (br#"{"name":"a",}"#, "expected a key"),
        (br#"{"name":"a""#, "the text ends inside"),
        (deep(47).as_bytes(), "nested deeper than 48 levels"),
        (deep(200_000).as_bytes(), "nested deeper than 48 levels"),
        (long.as_bytes(), "expected a JSON value"),
    ] {
        let told = refused(&operator, "/v1/topologies", "application/json", body).await;
        assert!(told.contains(detail), "{:?}: {told}", String::from_utf8_lossy(body));
        assert!(told.len() < 500, "{told}");
    }
    let admin = app.caller(Role::Admin).await;
    let twice =
        r#"{"username":"eve","password":"a long password","role":"viewer","r\u006fle":"admin"}"#;
    let told = refused(&admin, "/v1/users", "application/json", twice).await;
    assert!(told.contains("duplicate key") && told.contains("/role"), "{told}");
    app.finish().await;
}

#[tokio::test]
async fn value_of_the_wrong_type_is_400() {
    let app = App::start().await;
    let agent = app.caller(Role::Agent).await;
    for max in ["5.0", "1e0", "-0", "-1", "0", "51", "\"5\"", "1e400", "[1]", "{}", "true"] {
        let body = format!(r#"{{"skills":["s"],"max":{max}}}"#);
        refused(&agent, "/v1/tasks/claim", "application/json", body).await;
    }
    for big in ["18446744073709551615", "18446744073709551616", "1e99", "1.5"] {
        let body = format!(r#"{{"op":"add_lan","expected_version":{big}}}"#);
        let path = "/v1/topologies/00000000-0000-0000-0000-000000000000/mutations";
        let operator = app.caller(Role::Operator).await;
        refused(&operator, path, "application/json", body).await;
    }
    let operator = app.caller(Role::Operator).await;
    for body in [
        r#"{"name":5}"#,
        r#"{"name":1e400}"#,
        r#"{"name":"a","config":1e400}"#,
        r#"{"name":"a","config":[]}"#,
        r#"{"name":"a","config":"{}"}"#,
        "1e400",
        "-0",
        "5",
        "null",
    ] {
        refused(&operator, "/v1/topologies", "application/json", body).await;
    }
    app.finish().await;
}

#[tokio::test]
async fn ndjson_skips_blank_lines_and_names_the_line() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let created = create(&owner).await;
    let path = format!("{}/events", created.path);
    let good = r#"{"kind":"message","data":1}"#;
    let deep = format!(r#"{{"kind":"message","data":{}"#, "[".repeat(60));
    let large = format!(r#"{{"kind":"message","data":"{}"}}"#, "x".repeat(65_535));
    for bad in [
        "{",
        r#"{"kind":"explode"}"#,
        r#"{"kind":"message","extra":1}"#,
        r#"{"kind":"message","data":{"a":1,"\u0061":2}}"#,
        r#"{"kind":"message","data":"\ud800"}"#,
        "1e400",
        &deep,
        &large,
    ] {
        for end in ["\n", "\r\n"] {
            let body = [good, "", "", bad, good, ""].join(end);
            let told = refused(&agent, &path, "application/x-ndjson", body).await;
            assert!(told.contains("line 4"), "{bad:.80}: {told}");
        }
    }
    let after_the_end = format!("\n{{\"kind\":\"complete\"}}\n\n{good}\n");
    let told = refused(&agent, &path, "application/x-ndjson", after_the_end).await;
    assert!(told.contains("line 4"), "{told}");
    refused(&agent, &path, "application/x-ndjson", "\n\r\n \n").await;
    assert_eq!(events(&owner, &created.path).await, Vec::<Value>::new());
    let body = format!("\n{good}\r\n\r\n \t\n{good}\n\n");
    let request = agent.request(Method::POST, &path).header("Content-Type", "application/x-ndjson");
    assert_eq!(Caller::answer(request.body(body)).await.ok()["count"], 2);
    app.finish().await;
}
