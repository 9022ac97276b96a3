//! Checks the head of a request and reads its body.
//!
//! The body is read before the operation runs, so that no operation waits for a slow client. The body is not read if
//! the access token is missing or not valid, or if the operation does not exist. For a public operation, it must be
//! small.

use std::time::Duration;

use poem::{
    Request,
    error::ReadBodyError,
    http::{Version, header},
};

use crate::{
    api::{
        credential::{self, STREAM_TOKEN, SentByBrowser},
        problem::{Kind, Problem, Result},
        routes::{Access, Routes},
    },
    gateway::Gateway,
};

/// Maximum size of the body of a public operation, in bytes. The longest login fits: a password of 1,024 bytes and a
/// name of 64, with each byte written as an escape of six bytes (`\u0061`).
const PUBLIC_BODY: usize = 8 << 10;

/// Header fields that a request may send only once. With two, a proxy could use the first and the gateway the last.
const SINGLE_FIELDS: [&str; 3] = ["Authorization", "Content-Type", "Lease-Token"];

/// Query parameters that a request may send only once, for the same reason. `last_event_id` and `Last-Event-ID` are not
/// among these: a stream with two cursors uses neither and starts over.
const SINGLE_PARAMETERS: [&str; 1] = [STREAM_TOKEN];

/// Limits of a request.
#[derive(Clone, Copy)]
pub(in crate::api) struct Bounds {
    /// Maximum size of a head, in bytes. On HTTP/1.1, hyper refuses a larger head before the middleware runs.
    pub(in crate::api) head: usize,
    /// Maximum size of a body, in bytes.
    pub(in crate::api) body: usize,
    /// Time in which the whole body must arrive.
    pub(in crate::api) body_time: Duration,
}

/// Checks the head and reads the whole body.
pub(in crate::api) async fn limit_body(
    request: &mut Request,
    gateway: &Gateway,
    routes: &Routes,
    bounds: Bounds,
    known: SentByBrowser<'_>,
) -> Result<()> {
    check_head(request, bounds)?;
    let limit = match routes.access(request.uri().path(), request.method().as_str()) {
        Access::Public => PUBLIC_BODY.min(bounds.body),
        // A valid credential is enough to read the body. The operation checks the login session later.
        Access::Secured if credential::is_valid(gateway, request, known).await => bounds.body,
        Access::Secured | Access::None => {
            drop(request.take_body());
            return Ok(());
        }
    };
    let too_large = || {
        let detail = format!("the body is larger than {limit} bytes");
        Problem::new(Kind::PayloadTooLarge, detail)
    };
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let body = request.take_body();
    if body.is_empty() {
        return Ok(());
    }
    let read = tokio::time::timeout(bounds.body_time, body.into_bytes_limit(limit)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(ReadBodyError::PayloadTooLarge)) => return Err(too_large()),
        Ok(Err(_)) => return Err(Problem::bad_request("the body cannot be read")),
        Err(_) => {
            return Err(Problem::new(Kind::RequestTimeout, "the body did not arrive in time"));
        }
    };
    request.set_body(bytes);
    Ok(())
}

fn check_head(request: &Request, bounds: Bounds) -> Result<()> {
    let headers = request.headers();
    if request.version() == Version::HTTP_2 {
        // RFC 9113, section 6.5.2, adds 32 bytes for each field.
        let sizes = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32);
        if sizes.sum::<usize>() > bounds.head {
            return Err(Problem::new(Kind::HeadTooLarge, "the head of the request is too large"));
        }
    } else if request.version() == Version::HTTP_11
        && headers.get_all(header::HOST).iter().count() != 1
    {
        // RFC 9112, section 3.2. On HTTP/2 the host is in the target, and hyper requires it.
        return Err(Problem::bad_request("the request must have exactly one Host header"));
    }
    let has_two = request.uri().query().is_some_and(|query| query.contains('&'));
    let query: Vec<(String, String)> =
        if has_two { request.params().unwrap_or_default() } else { Vec::new() };
    let sent = |name: &str| query.iter().filter(|(sent, _)| sent == name).count();
    let fields = SINGLE_FIELDS.iter().find(|name| headers.get_all(**name).iter().nth(1).is_some());
    let parameters = SINGLE_PARAMETERS.iter().find(|name| sent(name) > 1);
    if let Some(name) = fields.or(parameters) {
        return Err(Problem::bad_request(format!("{name} may be sent only once")));
    }
    check_transfer_encoding(request)
}

/// Refuses transfer codings other than `chunked` (RFC 9112, section 6.1). hyper accepts any list that ends with
/// `chunked`, and decodes only that one. HTTP/2 has no transfer codings.
fn check_transfer_encoding(request: &Request) -> Result<()> {
    let lines = request.headers().get_all(header::TRANSFER_ENCODING);
    let codings = lines.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let codings = codings.map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty());
    let mut is_chunked = false;
    for coding in codings {
        if !coding.eq_ignore_ascii_case(b"chunked") {
            return Err(Problem::new(
                Kind::NotImplemented,
                "Transfer-Encoding must be chunked, without another coding",
            ));
        }
        if is_chunked {
            return Err(Problem::bad_request("Transfer-Encoding must contain chunked only once"));
        }
        is_chunked = true;
    }
    Ok(())
}
