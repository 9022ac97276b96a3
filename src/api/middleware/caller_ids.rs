//! Reads the ids that a caller gives to a request.
//!
//! An id with a wrong form is ignored. The request does not depend on it, and often a proxy has added it, which the
//! caller cannot change. W3C Trace Context also requires this for `traceparent`. The response shows whether the id was
//! accepted, because only an accepted id is sent back.

use poem::http::{HeaderMap, HeaderName};

use crate::{
    api::headers::{CORRELATION_ID, TRACEPARENT},
    telemetry::CallerIds,
};

/// Maximum length of a correlation id. Long enough for the ids of all common proxies and clients.
const MAX_CORRELATION_ID: usize = 128;

/// The ids in the head of a request.
pub(super) fn caller_ids(headers: &HeaderMap) -> CallerIds {
    CallerIds {
        correlation_id: single(headers, &CORRELATION_ID)
            .filter(|id| is_correlation_id(id))
            .map(Into::into),
        trace_id: single(headers, &TRACEPARENT).and_then(trace_id).map(Into::into),
    }
}

/// The value of a header that was sent once. With two values, it is unknown which of them is the caller's.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

/// Whether a text is an id that can stand in a log and in a header. Ids are UUIDs, numbers, Base64, or lists of these.
/// No character needs an escape in JSON, HTML or a shell in quotes.
fn is_correlation_id(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/+=@,;|#".contains(&byte);
    (1..=MAX_CORRELATION_ID).contains(&id.len()) && id.bytes().all(is_allowed)
}

/// The trace id of a `traceparent` (W3C Trace Context, section 3.2). A later version may add fields at the end.
fn trace_id(traceparent: &str) -> Option<&str> {
    let mut fields = traceparent.split('-');
    let (version, trace, parent, flags) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_hex = |field: &str, length: usize| {
        field.len() == length && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |field: &str| field.bytes().all(|byte| byte == b'0');
    let has_form = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || fields.next().is_none())
        && is_hex(trace, 32)
        && !is_zero(trace)
        && is_hex(parent, 16)
        && !is_zero(parent)
        && is_hex(flags, 2);
    has_form.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlation_id_has_a_length_and_plain_characters() {
        let longest = "x".repeat(MAX_CORRELATION_ID);
        for id in ["1", "0198-a_b", "Root=1-67891233-abcdef", "SGVsbG8=", "a:b/c|d,e;f", &longest] {
            assert!(is_correlation_id(id), "{id}");
        }
        let too_long = "x".repeat(MAX_CORRELATION_ID + 1);
        for id in
            ["", "two words", "a\tb", "\"quoted\"", "<b>", "a\\b", "$(id)", "`id`", "é", &too_long]
        {
            assert!(!is_correlation_id(id), "{id}");
        }
    }

    #[test]
    fn traceparent_has_the_form_of_its_specification() {
        const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
        const PARENT: &str = "b7ad6b7169203331";
        for valid in [
            format!("00-{TRACE}-{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}-ff"),
            format!("cc-{TRACE}-{PARENT}-01"),
            format!("cc-{TRACE}-{PARENT}-01-what-the-future-adds"),
        ] {
            assert_eq!(trace_id(&valid), Some(TRACE), "{valid}");
        }
        let zero = "0".repeat(32);
        for invalid in [
            String::new(),
            TRACE.to_owned(),
            format!("00-{TRACE}-{PARENT}"),
            format!("00-{TRACE}-{PARENT}-1"),
            format!("00-{TRACE}-{PARENT}-01-more"),
            format!("00-{TRACE}-{PARENT}-01-"),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("0-{TRACE}-{PARENT}-01"),
            format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}0-{PARENT}-01"),
            format!("00-{zero}-{PARENT}-01"),
            format!("00-{TRACE}-{}-01", &zero[..16]),
            format!(" 00-{TRACE}-{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}-01.more"),
            format!("cc-{TRACE}-{PARENT}-01.more"),
        ] {
            assert_eq!(trace_id(&invalid), None, "{invalid}");
        }
    }
}
