//! Topics, events and cursors: the words that every floor above shares.

use std::{fmt, str::FromStr, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use entity::Timestamp;
use serde::Serialize;
use uuid::Uuid;

/// The families, each with its word: table, topic prefix, OpenAPI tag.
macro_rules! families {
    ($($(#[$doc:meta])* $family:ident = $name:literal),+ $(,)?) => {
        /// A kind of stream. A new family is one line below, one file in `src/api`, one entity, one
        /// migration.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Family { $($(#[$doc])* $family),+ }

        impl Family {
            /// All families.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$family),+];

            /// The word for it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$family => $name),+ }
            }
        }
    };
}

families! {
    /// Topologies and their mutations.
    Topology = "topology",
    /// Notifications of a user.
    Notification = "notification",
    /// Sessions of the Model Context Protocol.
    McpSession = "mcp_session",
    /// Tasks and what workers make of them.
    Task = "task",
    /// Prompts and what agents answer.
    Prompt = "prompt",
}

/// The topic of a stream: `<family>.<id>`, with dots as in NATS subjects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    family: Family,
    id: Uuid,
    name: Arc<str>,
}

impl Topic {
    /// The topic of one resource of a family.
    #[must_use]
    pub fn new(family: Family, id: Uuid) -> Self {
        Self { family, id, name: format!("{}.{id}", family.name()).into() }
    }

    /// The id: the part after the first dot.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The family: the part before the first dot.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The text is not a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a topic")]
pub struct TopicError;

impl FromStr for Topic {
    type Err = TopicError;

    /// Accepts only the form that [`Topic::as_str`] returns. Two names of one topic would be two topics to code
    /// that compares names.
    fn from_str(text: &str) -> Result<Self, TopicError> {
        let (family, id) = text.split_once('.').ok_or(TopicError)?;
        let family = Family::ALL.into_iter().find(|known| known.name() == family);
        let topic = Self::new(family.ok_or(TopicError)?, id.parse().map_err(|_| TopicError)?);
        if topic.as_str() == text { Ok(topic) } else { Err(TopicError) }
    }
}

/// A place in one topic's log: all events up to and including this one have been seen.
///
/// On the wire `<epoch>-<seq>-<nonce>`, the numbers in hexadecimal, decimal and hexadecimal; clients must treat
/// it as opaque. The epoch is the topic's own random number, so a cursor fits no other topic. The nonce is the
/// event's random number. After the database was restored from a backup, or has failed over to a copy without
/// the newest events, other events get the same `seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The topic's random number.
    pub epoch: i64,
    /// The number of the newest event seen; 0 before the first.
    pub seq: i64,
    /// The nonce of that event, not negative; 0 before the first.
    pub nonce: i32,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}-{:x}", self.epoch, self.seq, self.nonce)
    }
}

/// The text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (epoch, rest) = text.split_once('-').ok_or(CursorError)?;
        let (seq, nonce) = rest.split_once('-').ok_or(CursorError)?;
        // `from_str_radix` and `parse` take a sign, which no cursor of ours has.
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if ![epoch, seq, nonce].into_iter().all(plain) {
            return Err(CursorError);
        }
        Ok(Self {
            epoch: i64::from_str_radix(epoch, 16).map_err(|_| CursorError)?,
            seq: seq.parse().map_err(|_| CursorError)?,
            nonce: i32::from_str_radix(nonce, 16).map_err(|_| CursorError)?,
        })
    }
}

/// Places in the logs of several topics. A topic finds its cursor by the epoch. So the order does not matter,
/// and a client can add and remove topics.
///
/// On the wire cursors joined by dots; one cursor alone is one of these too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursors(Vec<Cursor>);

impl Cursors {
    /// The most that there can be.
    pub const MOST: usize = 50;

    /// The one of this epoch.
    #[must_use]
    pub fn of(&self, epoch: i64) -> Option<Cursor> {
        self.0.iter().find(|cursor| cursor.epoch == epoch).copied()
    }
}

impl FromStr for Cursors {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let cursors: Result<Vec<Cursor>, _> =
            text.split('.').take(Self::MOST + 1).map(str::parse).collect();
        cursors.ok().filter(|cursors| cursors.len() <= Self::MOST).map(Self).ok_or(CursorError)
    }
}

/// An event on its way into the log.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// A dotted name such as `mutation.applied`; no control characters.
    pub kind: String,
    /// JSON text as [`json`] makes it.
    pub data: String,
    /// Whether nothing can follow on this topic.
    pub terminal: bool,
}

/// The name would break the frame that it stands in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event kind is 1 to 64 characters of a-z, 0-9, '_' and '.'")]
pub struct KindError;

impl NewEvent {
    /// An event after which others can follow.
    ///
    /// # Errors
    /// When the kind is not a dotted name: a line end in it could forge a frame.
    pub fn new(kind: &str, data: &impl Serialize) -> Result<Self, KindError> {
        let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.');
        if kind.is_empty() || kind.len() > 64 || !kind.bytes().all(fits) {
            return Err(KindError);
        }
        Ok(Self { kind: kind.to_owned(), data: json(data), terminal: false })
    }

    /// The same as the last event of its topic.
    #[must_use]
    pub fn terminal(self) -> Self {
        Self { terminal: true, ..self }
    }
}

/// An event of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The topic of the event.
    pub topic: Topic,
    /// Its place in the topic's log.
    pub cursor: Cursor,
    /// The nonce of the event before it; 0 for the first one.
    pub prior_nonce: i32,
    /// The kind of the event.
    pub kind: String,
    /// With what: JSON text on one line.
    pub data: String,
    /// Whether nothing can follow.
    pub terminal: bool,
    /// Time at which the event was written.
    pub at: Timestamp,
}

/// One block of `text/event-stream` (WHATWG HTML, section 9.2.6). Without a cursor the client keeps
/// the one it has. `data` must be one line, as [`json`] makes it.
#[must_use]
pub fn block(cursor: Option<Cursor>, kind: &str, data: &str) -> Bytes {
    let mut block = BytesMut::with_capacity(kind.len() + data.len() + 64);
    if let Some(cursor) = cursor {
        block.put_slice(format!("id: {cursor}\n").as_bytes());
    }
    block.put_slice(b"event: ");
    block.put_slice(kind.as_bytes());
    block.put_slice(b"\ndata: ");
    block.put_slice(data.as_bytes());
    block.put_slice(b"\n\n");
    block.freeze()
}

/// JSON text that is safe behind `data:` for every client.
///
/// JSON escapes CR and LF by itself. Several clients also end a line at U+0085, U+2028 and U+2029, which JSON
/// does not escape. They occur only inside strings, so escaping them everywhere keeps the value.
///
/// # Panics
/// When a map's keys are not strings or its own `Serialize` fails, neither of which our types do.
#[must_use]
pub fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("a value of ours always serialises");
    if !text.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        return text;
    }
    text.replace('\u{85}', "\\u0085").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_separators_are_escaped_and_keep_their_value() {
        let text = "a\u{85}b\u{2028}c\u{2029}d\r\ne";
        let encoded = json(&text);
        assert_eq!(encoded, r#""a\u0085b\u2028c\u2029d\r\ne""#);
        assert_eq!(serde_json::from_str::<String>(&encoded).expect("JSON"), text);
    }

    #[test]
    fn a_kind_cannot_carry_a_line_end() {
        for kind in ["", "a\ndata: forged", "a\r", "a\0", "Ab", "a b"] {
            assert!(NewEvent::new(kind, &1).is_err(), "{kind:?} was taken");
        }
        assert!(NewEvent::new("mutation.applied", &1).is_ok());
    }

    #[test]
    fn a_topic_survives_the_wire_and_nothing_else_is_one() {
        let topic = Topic::new(Family::Topology, Uuid::from_u128(0xabc));
        assert_eq!(topic.as_str(), "topology.00000000-0000-0000-0000-000000000abc");
        assert_eq!(topic.as_str().parse(), Ok(topic.clone()));
        for text in [
            "",
            "topology",
            "topology.",
            "topology.>",
            "nothing.00000000-0000-0000-0000-000000000abc",
            "topology.00000000-0000-0000-0000-000000000ABC",
            "topology.00000000000000000000000000000abc",
            "topology.00000000-0000-0000-0000-000000000abc.1",
        ] {
            assert_eq!(text.parse::<Topic>(), Err(TopicError), "{text}");
        }
    }

    #[test]
    fn a_cursor_survives_the_wire_and_nothing_else_is_one() {
        let cursor = Cursor { epoch: 0x2f_1a3b, seq: 42, nonce: 0x7fff_ffff };
        assert_eq!(cursor.to_string(), "2f1a3b-42-7fffffff");
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in [
            "",
            "-",
            "1",
            "1-1",
            "1-1-",
            "1--1",
            "-1-1",
            "1-1--1",
            "+1-1-1",
            "1-+1-1",
            "1-1-+1",
            "g-1-1",
            "1-a-1",
            "1-1-g",
            "1-1-1-1",
            "1-99999999999999999999-1",
            "1-1-80000000",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }

    #[test]
    fn cursors_of_many_topics_are_told_apart_by_their_epochs() {
        let cursors: Cursors = "2f-42-b.a1-7-c".parse().expect("cursors");
        assert_eq!(cursors.of(0xa1), Some(Cursor { epoch: 0xa1, seq: 7, nonce: 0xc }));
        assert_eq!(cursors.of(0x2f), Some(Cursor { epoch: 0x2f, seq: 42, nonce: 0xb }));
        assert_eq!(cursors.of(0xff), None);
        assert_eq!("2f-42-b".parse::<Cursors>().map(|one| one.of(0x2f).is_some()), Ok(true));
        let many = |count| vec!["1-1-1"; count].join(".");
        assert!(many(Cursors::MOST).parse::<Cursors>().is_ok());
        let two = ["1-1-1..2-2-2", "1-1-1,2-2-2", "1-1-1.2-2"];
        for text in ["", ".", "1-1-1.", ".1-1-1", &many(Cursors::MOST + 1)].into_iter().chain(two) {
            assert_eq!(text.parse::<Cursors>(), Err(CursorError), "{text}");
        }
    }
}
