//! Topics, events and cursors: the types that every layer uses.

use std::{fmt, str::FromStr, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use entity::Timestamp;
use serde::Serialize;
use uuid::Uuid;

/// Declares the families, each with its name. The name is also the table, the topic prefix and the OpenAPI tag.
macro_rules! families {
    ($($(#[$doc:meta])* $family:ident = $name:literal),+ $(,)?) => {
        /// A type of resource that has streams. A new family needs a line below, a folder in `src/family`, operations
        /// in `src/api`, an entity and a migration.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Family { $($(#[$doc])* $family),+ }

        impl Family {
            /// All families.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$family),+];

            /// The name of the family: its topic prefix, and its label in metrics.
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
    /// Tasks that workers execute.
    Task = "task",
    /// Prompts that agents answer.
    Prompt = "prompt",
    /// Reverse tunnels to MCP servers.
    Tunnel = "tunnel",
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

/// The text is not a valid topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a topic")]
pub struct TopicError;

impl FromStr for Topic {
    type Err = TopicError;

    /// Accepts only the form that [`Topic::as_str`] returns. With two names, a topic would be two topics for code that
    /// compares names.
    fn from_str(text: &str) -> Result<Self, TopicError> {
        let (family, id) = text.split_once('.').ok_or(TopicError)?;
        let family = Family::ALL.into_iter().find(|known| known.name() == family);
        let topic = Self::new(family.ok_or(TopicError)?, id.parse().map_err(|_| TopicError)?);
        if topic.as_str() == text { Ok(topic) } else { Err(TopicError) }
    }
}

/// A position in the log of a topic. The client has seen all events up to this position.
///
/// The text form is `<epoch>-<seq>-<nonce>`. `epoch` and `nonce` are hexadecimal, and `seq` is decimal. Clients must
/// treat the text as opaque. The epoch is a random number of the topic, so a cursor belongs to one topic only. The
/// nonce is a random number of the event. After the database was restored from a backup, or failed over to a copy
/// without the newest events, other events get the same `seq`. The nonce tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Random number of the topic.
    pub epoch: i64,
    /// Number of the newest event that the client has seen. 0 before the first event.
    pub seq: i64,
    /// Nonce of that event, 0 or more. 0 before the first event.
    pub nonce: i32,
}

impl Cursor {
    /// A cursor of no topic. A stream that resumes after it starts over with a `reset` reason.
    pub const UNKNOWN: Self = Self { epoch: 0, seq: 0, nonce: 0 };
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}-{:x}", self.epoch, self.seq, self.nonce)
    }
}

/// The text is not a valid cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (epoch, rest) = text.split_once('-').ok_or(CursorError)?;
        let (seq, nonce) = rest.split_once('-').ok_or(CursorError)?;
        // `from_str_radix` and `parse` accept a sign, but a cursor has none.
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

/// Positions in the logs of several topics. A topic finds its cursor by the epoch. So the order has no meaning, and a
/// client can add and remove topics.
///
/// The text form is one or more cursors, joined by dots. Two different cursors of one topic are not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursors(Vec<Cursor>);

impl Cursors {
    /// Maximum number of cursors.
    pub const MAX: usize = 50;

    /// The epochs of the cursors.
    pub fn epochs(&self) -> impl Iterator<Item = i64> {
        self.0.iter().map(|cursor| cursor.epoch)
    }

    /// The cursor with this epoch.
    #[must_use]
    pub fn for_epoch(&self, epoch: i64) -> Option<Cursor> {
        self.0.iter().find(|cursor| cursor.epoch == epoch).copied()
    }
}

impl FromStr for Cursors {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let cursors: Vec<Cursor> =
            text.split('.').take(Self::MAX + 1).map(str::parse).collect::<Result<_, _>>()?;
        let cursors = Self(cursors);
        let is_the_only_one = |cursor: &Cursor| cursors.for_epoch(cursor.epoch) == Some(*cursor);
        if cursors.0.len() > Self::MAX || !cursors.0.iter().all(is_the_only_one) {
            return Err(CursorError);
        }
        Ok(cursors)
    }
}

/// Maximum size of the data of an event or a snapshot, in bytes. The data is one line of a stream, and clients limit
/// the length of a line. The smallest limit of the HTTP clients in `docs/clients.md` is 512 KiB. That includes `data: `
/// and, on a stream of several topics, the name of the topic.
pub const MAX_DATA: usize = 500_000;

/// An event that is not in the log yet.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Dotted name of 1 to 64 characters, such as `mutation.applied`.
    pub kind: String,
    /// JSON text on one line, from [`json`].
    pub data: String,
    /// Whether this is the last event of the topic.
    pub terminal: bool,
}

/// The kind of an event is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event kind is 1 to 64 characters of a-z, 0-9, '_' and '.'")]
pub struct KindError;

impl NewEvent {
    /// Creates an event that is not the last event of its topic.
    ///
    /// # Errors
    /// If the kind is not valid. A line end in the kind could forge a frame.
    pub fn new(kind: &str, data: &impl Serialize) -> Result<Self, KindError> {
        let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.');
        if kind.is_empty() || kind.len() > 64 || !kind.bytes().all(fits) {
            return Err(KindError);
        }
        Ok(Self { kind: kind.to_owned(), data: json(data), terminal: false })
    }

    /// Marks the event as the last event of its topic.
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
    /// Position of the event in the topic's log.
    pub cursor: Cursor,
    /// Nonce of the previous event. 0 for the first event.
    pub prior_nonce: i32,
    /// Kind of the event, such as `mutation.applied`.
    pub kind: String,
    /// Data of the event: JSON text on one line.
    pub data: String,
    /// Whether this is the last event of the topic.
    pub terminal: bool,
    /// Time at which the event was written to the log.
    pub at: Timestamp,
}

/// Encodes one block of `text/event-stream` (WHATWG HTML, section 9.2.6). Without a cursor the block has no `id`, and
/// the client keeps its last cursor. `data` must be one line, as [`json`] returns it.
///
/// The `id` is the last line. A client such as `@microsoft/fetch-event-source` stores the cursor as soon as it has that
/// line. If the connection broke between the cursor and the data, that client would never get the event.
#[must_use]
pub fn block(cursor: Option<Cursor>, kind: &str, data: &str) -> Bytes {
    let mut block = BytesMut::with_capacity(kind.len() + data.len() + 64);
    for part in ["event: ", kind, "\ndata: ", data] {
        block.put_slice(part.as_bytes());
    }
    if let Some(cursor) = cursor {
        block.put_slice(format!("\nid: {cursor}").as_bytes());
    }
    block.put_slice(b"\n\n");
    block.freeze()
}

/// Encodes a value as JSON text that every client reads as one line of `data:`.
///
/// JSON always escapes CR and LF. Several clients also end a line at U+0085, U+2028 and U+2029, which JSON
/// does not escape. These characters occur only inside strings, so escaping them keeps the value.
///
/// # Panics
/// If the keys of a map are not strings, or if the `Serialize` of the value fails. No type of streamgate does this.
#[must_use]
pub fn json(value: &impl Serialize) -> String {
    one_line(serde_json::to_string(value).expect("the types of streamgate always serialise"))
}

/// Escapes the characters in JSON text at which clients end a line, see [`json`].
#[must_use]
pub fn one_line(text: String) -> String {
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
        assert_eq!(cursors.for_epoch(0xa1), Some(Cursor { epoch: 0xa1, seq: 7, nonce: 0xc }));
        assert_eq!(cursors.for_epoch(0x2f), Some(Cursor { epoch: 0x2f, seq: 42, nonce: 0xb }));
        assert_eq!(cursors.for_epoch(0xff), None);
        assert_eq!("2f-42-b".parse::<Cursors>().map(|one| one.for_epoch(0x2f).is_some()), Ok(true));
        let many = |count| vec!["1-1-1"; count].join(".");
        assert!(many(Cursors::MAX).parse::<Cursors>().is_ok());
        let two = ["1-1-1..2-2-2", "1-1-1,2-2-2", "1-1-1.2-2", "1-1-1.1-2-1"];
        for text in ["", ".", "1-1-1.", ".1-1-1", &many(Cursors::MAX + 1)].into_iter().chain(two) {
            assert_eq!(text.parse::<Cursors>(), Err(CursorError), "{text}");
        }
    }
}
