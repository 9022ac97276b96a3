//! Tests of the parser, against `serde_json` and against text.

use proptest::prelude::*;
use serde_json::Value;

use super::{MAX_DEPTH, parse};
use crate::json::text;

#[test]
fn numbers_keep_their_text() {
    for number in [
        "0",
        "-0",
        "-0.0",
        "5.0",
        "5.00",
        "1e2",
        "1E2",
        "1e+2",
        "1e400",
        "1E-400",
        "117.63331139400017",
        "9007199254740991.0",
        "18446744073709551615",
        "-9223372036854775808",
        "18446744073709551616",
        "123456789012345678901234567890.123456789012345678901234567890e-7",
    ] {
        let json = format!(r#"{{"a":[{number}]}}"#);
        let value = parse(json.as_bytes()).unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!(text(&value), json);
    }
}

#[test]
fn errors_name_reason_line_column_and_pointer() {
    let deep = |levels| "[".repeat(levels) + &"]".repeat(levels);
    assert!(parse(deep(MAX_DEPTH).as_bytes()).is_ok());
    for (json, message) in [
        (r#"{"role":1,"r\u006fle":2}"#, "duplicate key at line 1, column 11 (JSON pointer /role)"),
        (
            "{\"a\":[0,\n {\"b/c\":1, \"b/c\":1}]}",
            "duplicate key at line 2, column 12 (JSON pointer /a/1/b~1c)",
        ),
        (
            r#"["\ud800"]"#,
            "a string has a lone surrogate or an escape that is not valid at line 1, column 2 (JSON \
             pointer /0)",
        ),
        (
            r#"{"\udc00":1}"#,
            "a string has a lone surrogate or an escape that is not valid at line 1, column 2",
        ),
        ("\u{feff}{}", "JSON must not start with a byte order mark at line 1, column 1"),
        ("{} x", "unexpected text after the JSON value at line 1, column 4"),
        ("", "the text ends inside the JSON value at line 1, column 1"),
        ("[1,]", "expected a JSON value at line 1, column 4 (JSON pointer /1)"),
        ("01", "a number must not start with 0 at line 1, column 1"),
        ("[1.]", "expected a digit at line 1, column 4 (JSON pointer /0)"),
        ("\"\n\"", "a control character must be escaped at line 1, column 2"),
    ] {
        let error = parse(json.as_bytes()).expect_err(json);
        assert_eq!(error.to_string(), message, "{json}");
    }
    let error = parse(b"[\"\xff\"]").expect_err("not UTF-8");
    assert_eq!(error.to_string(), "the text is not UTF-8 at line 1, column 3");
    let error = parse(deep(MAX_DEPTH + 1).as_bytes()).expect_err("too deep");
    assert!(error.to_string().contains("deeper than 48 levels"), "{error}");
    // The message stays short, and no depth overflows the stack.
    let long = format!(r#"{{"{}":["#, "é".repeat(10_000)) + &"[".repeat(1_000_000);
    assert!(parse(long.as_bytes()).expect_err("too deep").to_string().len() < 500);
}

/// Text that often looks like JSON.
fn almost_json() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just(" "),
        Just("\n"),
        Just("\"a\""),
        Just("\"b\\n\""),
        Just("\"\\u00e9\""),
        Just("\"\\ud83d\\ude00\""),
        Just("\"\\x\""),
        Just("\"\\"),
        Just("\"é\""),
        Just("\\é"),
        Just("1"),
        Just("-"),
        Just("0"),
        Just("."),
        Just("e"),
        Just("+"),
        Just("true"),
        Just("false"),
        Just("null"),
        Just("nul"),
        Just("{\"a\":"),
        Just("{\"b\":[1,"),
        Just("\u{0}"),
        Just("\u{2028}"),
    ];
    proptest::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn parser_accepts_what_serde_json_accepts(json in almost_json()) {
        let ours = parse(json.as_bytes());
        match serde_json::from_str::<Value>(&json) {
            // Only serde_json takes a key twice.
            Ok(theirs) => match ours {
                Ok(ours) => {
                    let again: Value = serde_json::from_str(&text(&ours)).expect("JSON");
                    prop_assert_eq!(again, theirs);
                }
                Err(error) => prop_assert!(error.to_string().contains("duplicate key"), "{}", error),
            },
            // serde_json has no number for 1e999.
            Err(error) => prop_assert!(
                ours.is_err() || error.to_string().contains("number out of range"), "{}", error
            ),
        }
    }
}
