//! The event that all servers send: 200 bytes of data that contain the time of publishing.

/// Bytes of data in one event.
pub(crate) const SIZE: usize = 200;
/// An event that an agent publishes for one word of an answer.
pub(crate) const SMALL: &str = r#"{"kind":"message","data":{"text":"word "}}"#;
/// The mark occurs once in the data of every event, and nowhere else in these streams. HTTP/1.1 chunks can split a
/// longer mark, so it is one byte.
pub(crate) const MARK: u8 = b'~';
/// Number of digits of the time.
const DIGITS: usize = 20;

/// A JSON string of [`SIZE`] bytes that begins with the mark and a time in nanoseconds.
pub(crate) fn data(nanos: u64) -> String {
    let filling = SIZE - DIGITS - 4;
    format!("\"{}{nanos:0DIGITS$} {:x<filling$}\"", char::from(MARK), "")
}

/// Parses the time in nanoseconds from the bytes after the mark. None if the bytes end too early.
pub(crate) fn time(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text.get(..DIGITS)?).ok()?.parse().ok()
}
