//! The head of the response of a stream that is written to the socket itself, without hyper.

use entity::Timestamp;
use poem::Response;
use poem::http::{HeaderName, header};
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

/// Format of the field `Date` (RFC 9110 section 5.6.7).
const DATE: StaticFormatDescription = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// Fields that [`encode`] adds itself, or that are wrong for a body in chunks.
const REPLACED: [HeaderName; 4] =
    [header::CONNECTION, header::CONTENT_LENGTH, header::DATE, header::TRANSFER_ENCODING];

/// Encodes a status line and fields (RFC 9112) for a body in chunks. The connection closes after the body.
pub(super) fn encode(response: &Response) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    head.extend_from_slice(format!("HTTP/1.1 {}\r\n", response.status()).as_bytes());
    for (name, value) in response.headers() {
        if !REPLACED.contains(name) {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
    }
    head.extend_from_slice(b"transfer-encoding: chunked\r\nconnection: close\r\n");
    if let Ok(date) = Timestamp::now().datetime().format(DATE) {
        head.extend_from_slice(format!("date: {date}\r\n").as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}
