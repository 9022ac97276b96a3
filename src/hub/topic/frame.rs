//! Events in their wire format, encoded once and shared by all their subscribers.
//!
//! A frame is one block of `text/event-stream` in one chunk of HTTP/1.1 (RFC 9112, section 7.1). So its bytes are
//! written to a socket unchanged. If another protocol does the framing, [`payload`] removes the chunks.

use bytes::{BufMut, Bytes, BytesMut};

use crate::event::{Event, block};

/// The end of a body in chunks.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

const CRLF: usize = 2;

/// An event in its wire format.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The event's number in the topic's log.
    pub seq: i64,
    /// Nonce of the event. Together with `seq`, it identifies the event.
    pub nonce: i32,
    /// Nonce of the event before this one.
    pub prior_nonce: i32,
    /// One chunk that contains one block.
    pub bytes: Bytes,
    /// Whether no event can follow.
    pub terminal: bool,
}

impl From<&Event> for Frame {
    fn from(event: &Event) -> Self {
        Self {
            seq: event.cursor.seq,
            nonce: event.cursor.nonce,
            prior_nonce: event.prior_nonce,
            bytes: chunk(&block(Some(event.cursor), &event.kind, &event.data)),
            terminal: event.terminal,
        }
    }
}

/// Consecutive frames in one piece.
#[derive(Clone, Debug)]
pub struct Run {
    /// The chunks of all the frames.
    pub bytes: Bytes,
    /// The number of frames.
    pub count: u64,
    /// Whether no event can follow the last one.
    pub terminal: bool,
}

impl Run {
    /// Joins frames. A single frame keeps the bytes that all subscribers share. Several frames are copied into one
    /// piece, because each write that this saves costs more than the copy. `None` without frames.
    pub fn from_frames(frames: &[&Frame]) -> Option<Self> {
        let terminal = frames.last()?.terminal;
        let bytes = if let [frame] = frames {
            frame.bytes.clone()
        } else {
            let size = frames.iter().map(|frame| frame.bytes.len()).sum();
            let mut bytes = BytesMut::with_capacity(size);
            for frame in frames {
                bytes.extend_from_slice(&frame.bytes);
            }
            bytes.freeze()
        };
        Some(Self { bytes, count: frames.len() as u64, terminal })
    }

    /// The number of frames that start within the first `written` bytes, and the end offset of the last of them.
    pub fn frames_started(&self, written: usize) -> (u64, usize) {
        if written == self.bytes.len() {
            return (self.count, written);
        }
        let (mut count, mut end) = (0, 0);
        for (size, length) in chunks(&self.bytes) {
            if end >= written {
                break;
            }
            end += size + length + CRLF;
            count += 1;
        }
        (count, end)
    }
}

/// Encodes text as one chunk.
pub fn chunk(text: &[u8]) -> Bytes {
    let size = format!("{:x}\r\n", text.len());
    let mut chunk = BytesMut::with_capacity(size.len() + text.len() + CRLF);
    chunk.put_slice(size.as_bytes());
    chunk.put_slice(text);
    chunk.put_slice(b"\r\n");
    chunk.freeze()
}

/// The text of all chunks. Not copied if there is only one chunk.
pub fn payload(bytes: &Bytes) -> Bytes {
    let mut rest = bytes.clone();
    let mut texts = chunks(bytes).map(|(size, length)| {
        let text = rest.split_to(size + length + CRLF);
        text.slice(size..size + length)
    });
    let first = texts.next().unwrap_or_default();
    let Some(second) = texts.next() else { return first };
    let mut all = BytesMut::from(first);
    all.extend_from_slice(&second);
    for text in texts {
        all.extend_from_slice(&text);
    }
    all.freeze()
}

/// For each chunk, the length of its size line and the length of its text. The bytes come from [`chunk`], so the size
/// is hexadecimal and there are no extensions.
fn chunks(mut bytes: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    std::iter::from_fn(move || {
        let digits = bytes.iter().position(|byte| *byte == b'\r')?;
        let length = bytes[..digits].iter().fold(0, |length, digit| {
            length * 16 + char::from(*digit).to_digit(16).unwrap_or_default() as usize
        });
        let size = digits + CRLF;
        bytes = &bytes[size + length + CRLF..];
        Some((size, length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(texts: &[&str]) -> Run {
        let frames: Vec<Frame> = (1..)
            .zip(texts)
            .map(|(seq, text)| {
                let bytes = chunk(text.as_bytes());
                Frame { seq, nonce: 1, prior_nonce: 1, bytes, terminal: false }
            })
            .collect();
        Run::from_frames(&frames.iter().collect::<Vec<_>>()).expect("frames")
    }

    #[test]
    fn payload_returns_the_text_of_all_chunks() {
        for texts in
            [&["one"][..], &["a", "", "0123456789abcdef", "\r\n"], &["x".repeat(300).as_str()]]
        {
            assert_eq!(payload(&run(texts).bytes), texts.concat());
        }
        let ended = [chunk(b"end").as_ref(), LAST_CHUNK].concat();
        assert_eq!(payload(&ended.into()), "end");
    }

    #[test]
    fn every_written_byte_belongs_to_a_frame_with_known_end() {
        let run = run(&["one", "another one", "x"]);
        let ends = [0, 8, 8 + 16, 8 + 16 + 6];
        assert_eq!(run.bytes.len(), ends[3]);
        for written in 0..=run.bytes.len() {
            let (count, end) = run.frames_started(written);
            let count = usize::try_from(count).expect("small");
            assert_eq!(end, ends[count]);
            assert!(written <= end && (count == 0 || written > ends[count - 1]));
        }
    }
}
