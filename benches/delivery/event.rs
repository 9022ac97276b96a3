//! The event that everybody sends: 200 bytes of data that say when they were published.

/// Bytes of data in one event.
pub(crate) const SIZE: usize = 200;
/// What an agent publishes of an answer that comes word by word.
pub(crate) const SMALL: &str = r#"{"kind":"message","data":{"text":"word "}}"#;
/// Stands in the data of every event once, and nowhere else in these streams. One byte, because
/// whatever is longer can be cut in two by the chunks of HTTP/1.1.
pub(crate) const MARK: u8 = b'~';
/// Digits of the time.
const DIGITS: usize = 20;

/// A JSON string of [`SIZE`] bytes that begins with the mark and a time in nanoseconds.
pub(crate) fn data(nanos: u64) -> String {
    let filling = SIZE - DIGITS - 4;
    format!("\"{}{nanos:0DIGITS$} {:x<filling$}\"", char::from(MARK), "")
}

/// The time in the data, given what follows the mark. None if it was cut off.
pub(crate) fn stamp(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text.get(..DIGITS)?).ok()?.parse().ok()
}
