//! Reads server-sent events (WHATWG HTML, section 9.2.6), as far as an MCP client needs them.

use std::time::Duration;

/// Splits bytes into events.
#[derive(Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: String,
    has_data: bool,
    ended_with_cr: bool,
    last_id: Option<String>,
    retry: Option<Duration>,
}

impl Events {
    /// The id to resume after.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The time to wait before a resume.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Takes bytes, and returns the data of the events that are complete.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        for byte in bytes {
            let was_cr = std::mem::replace(&mut self.ended_with_cr, *byte == b'\r');
            match byte {
                b'\n' if was_cr => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ => self.line.push(*byte),
            }
        }
        events
    }

    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let has_data = std::mem::take(&mut self.has_data);
            let data = std::mem::take(&mut self.data);
            return (has_data && !data.is_empty()).then_some(data);
        }
        let line = String::from_utf8_lossy(&line);
        if let Some(data) = line.strip_prefix("data:") {
            if self.has_data {
                self.data.push('\n');
            }
            self.has_data = true;
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        } else if let Some(id) = line.strip_prefix("id:") {
            self.last_id = Some(id.trim().to_owned()).filter(|id| !id.is_empty());
        } else if let Some(retry) = line.strip_prefix("retry:") {
            self.retry = retry.trim().parse().ok().map(Duration::from_millis);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_whatever_the_pieces_and_the_line_ends() {
        let text =
            "id: 1\ndata:\n\nevent: message\r\ndata: {\"a\":1}\r\n\r\n: c\ndata: x\rdata: y\r\r";
        for size in 1..text.len() {
            let mut events = Events::default();
            let found: Vec<String> =
                text.as_bytes().chunks(size).flat_map(|piece| events.take(piece)).collect();
            assert_eq!(found, ["{\"a\":1}", "x\ny"], "{size}");
            assert_eq!(events.last_id(), Some("1"));
        }
    }
}
