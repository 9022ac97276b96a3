//! Many topics on one connection.
//!
//! Each topic has its own stream, which works like any other stream. The stream starts with a snapshot or after a
//! cursor, catches up or starts over, and follows its overflow strategy. All streams share one connection, and so one
//! slot. This module parses their events and writes them again. Each new event names its topic, and its cursor contains
//! the cursors of all topics. So a client that reconnects resumes in every topic.
//!
//! A topic can end while the others continue. This happens after its last event, or when the caller may no longer see
//! it. Every other reason that ends the stream of one topic ends all of them.

use std::{
    future::poll_fn,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Instant,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use sea_orm::DbErr;
use serde_json::json;
use tokio::{
    select,
    time::{self, sleep_until},
};
use uuid::Uuid;

use super::{
    fanout::Body,
    open::StreamOpener,
    request::{Bounds, OpenMany, Opened, RequestedTopic, Resume, TopicAccess},
    subscription::{
        Connection, EXPIRING, End, HEARTBEAT, SILENT_TICKS, TICKS_PER_HEARTBEAT, retry_line,
    },
};
use crate::{
    auth::login_session::{Ended, SessionError},
    event::{self, Cursor, Cursors, Topic},
};

/// A topic and its stream.
struct TopicStream {
    requested: RequestedTopic,
    /// The topic's stream. `None` before it is opened, and after it has ended.
    body: Option<Body>,
    /// Cursor of the newest event that the client has of this topic, as text. `None` before the first event.
    ///
    /// If the client sent a cursor that is not usable, this is [`Cursor::UNKNOWN`] before the first event. So the topic
    /// starts with a `reset` reason even if the connection drops before that.
    cursor: Option<String>,
    /// Whether the client was told that no further events of the topic follow.
    is_closed: bool,
}

/// An open stream of many topics. Dropping this value closes the stream.
pub struct MergedStream {
    opener: Arc<StreamOpener>,
    request: Uuid,
    streams: Vec<TopicStream>,
    /// The topics' streams own the connection, so it closes with the last of them.
    connection: Weak<Connection>,
    access: Arc<dyn TopicAccess>,
    /// Time at which the stream ends, if the client set a maximum duration.
    until: Option<Instant>,
    /// Number of events that may still be sent. `u64::MAX` without a limit.
    events_left: u64,
    /// Index of the topic that is polled first.
    next_to_poll: usize,
    /// Text that is not sent yet.
    ready: BytesMut,
    /// Time at which the last text was sent.
    written: time::Instant,
    is_over: bool,
}

/// The output of a topic's stream: text, or `None` at its end.
struct TopicOutput {
    /// Index of the topic.
    index: usize,
    text: Option<Bytes>,
    /// Keeps the connection open while the output is handled. Otherwise the end of the last stream would free the slot,
    /// although the topic may be opened again.
    connection: Option<Arc<Connection>>,
}

/// Opens a stream of many topics.
pub async fn open_many(
    opener: &Arc<StreamOpener>,
    open: OpenMany,
) -> Result<Opened<MergedStream>, DbErr> {
    let OpenMany { topics, resume, bounds, client, access } = open;
    let request = client.request;
    let connection = opener.connect(client);
    let stream = |requested| TopicStream { requested, body: None, cursor: None, is_closed: false };
    let mut merge = MergedStream {
        opener: Arc::clone(opener),
        request,
        streams: topics.into_iter().map(stream).collect(),
        connection: Arc::downgrade(&connection),
        access,
        until: bounds.max_time.map(|time| Instant::now() + time),
        events_left: bounds.max_events.map_or(u64::MAX, Into::into),
        next_to_poll: 0,
        ready: retry_line(opener.context().settings.retry).as_bytes().into(),
        written: time::Instant::now(),
        is_over: false,
    };
    let resumes = merge.resumes(resume).await?;
    for (index, resume) in resumes.into_iter().enumerate() {
        merge.open(index, resume, &connection).await?;
    }
    let is_complete = merge.streams.iter().all(|stream| stream.is_closed);
    Ok(if is_complete { Opened::Complete } else { Opened::Stream(merge) })
}

impl MergedStream {
    /// Turns the stream into the body of a response, which another layer frames.
    pub fn into_body(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold(self, async |mut merge| {
            let text = merge.next().await?;
            Some((text, merge))
        })
    }

    /// The point at which each topic resumes. The epoch of a cursor shows to which topic it belongs.
    ///
    /// A topic without a cursor is new to the client, unless one of the cursors belongs to none of the topics. That
    /// cursor can be of a log of the topic that no longer exists.
    async fn resumes(&self, resume: Resume<Cursors>) -> Result<Vec<Resume>, DbErr> {
        let cursors = match resume {
            Resume::Start => return Ok(vec![Resume::Start; self.streams.len()]),
            Resume::Invalid => return Ok(vec![Resume::Invalid; self.streams.len()]),
            Resume::After(cursors) => cursors,
        };
        let topics: Vec<Topic> =
            self.streams.iter().map(|stream| stream.requested.name.clone()).collect();
        let positions = self.opener.context().log.positions(&topics).await?;
        let is_known = |epoch| positions.values().any(|position| position.epoch == epoch);
        let otherwise =
            if cursors.epochs().all(is_known) { Resume::Start } else { Resume::Invalid };
        let resume = |topic: &Topic| {
            let cursor = cursors.for_epoch(positions.get(topic.as_str())?.epoch)?;
            Some(Resume::After(cursor))
        };
        Ok(topics.iter().map(|topic| resume(topic).unwrap_or(otherwise)).collect())
    }

    /// Opens the stream of a topic.
    async fn open(
        &mut self,
        index: usize,
        resume: Resume,
        connection: &Arc<Connection>,
    ) -> Result<(), DbErr> {
        let stream = &mut self.streams[index];
        match resume {
            Resume::Start => {}
            Resume::After(cursor) => stream.cursor = Some(cursor.to_string()),
            Resume::Invalid => stream.cursor = Some(Cursor::UNKNOWN.to_string()),
        }
        let max_time = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        // `write_event` counts the events of all topics.
        let bounds = Bounds { max_events: None, max_time };
        match self.opener.open_on(connection, &stream.requested, resume, bounds).await? {
            Opened::Stream(pending) => stream.body = Some(pending.attach()),
            Opened::Complete => self.close_topic(index, End::Completed.reason()),
        }
        Ok(())
    }

    /// Waits for the next text. `None` after the end of the stream.
    async fn next(&mut self) -> Option<Bytes> {
        while self.ready.is_empty() {
            if self.is_over {
                return None;
            }
            let silence =
                self.opener.context().settings.heartbeat * SILENT_TICKS / TICKS_PER_HEARTBEAT;
            let silent = sleep_until(self.written + silence);
            select! {
                biased;
                output = poll_fn(|cx| self.poll(cx)) => self.take(output).await,
                () = silent => self.ready.put_slice(HEARTBEAT),
            }
        }
        self.written = time::Instant::now();
        Some(self.ready.split().freeze())
    }

    /// Polls the topics' streams. Starts after the topic that was last ready, so that a busy topic cannot delay the
    /// others.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<TopicOutput> {
        let connection = self.connection.upgrade();
        let count = self.streams.len();
        for step in 0..count {
            let index = (self.next_to_poll + step) % count;
            if let Some(body) = &mut self.streams[index].body
                && let Poll::Ready(text) = body.poll_next_unpin(cx)
            {
                self.next_to_poll = index + 1;
                return Poll::Ready(TopicOutput { index, text, connection });
            }
        }
        Poll::Pending
    }

    async fn take(&mut self, TopicOutput { index, text, connection }: TopicOutput) {
        if let Some(text) = text {
            self.write(index, &text);
            return;
        }
        let Some(body) = self.streams[index].body.take() else { return };
        match (body.end(), connection) {
            (Some((End::Completed, true)), _) => self.close_topic(index, End::Completed.reason()),
            // The topic ended before the client had all of its events. A new stream of the topic sends the rest.
            (Some((End::Completed, false)), Some(connection)) => {
                let resume = self.streams[index].resume();
                let opened = self.open(index, resume, &connection).await;
                self.end_if_failed(opened);
            }
            (Some((End::Session(Ended::RoleLowered), _)), Some(connection)) => {
                self.recheck_access(&connection).await;
            }
            // The connection is released, so the topic cannot be opened again. The client reconnects for the rest.
            (Some((End::Completed, false)), None) | (None, _) => self.is_over = true,
            (Some((end, _)), _) => self.end(end),
        }
        if !self.is_over && self.streams.iter().all(|stream| stream.is_closed) {
            self.end(End::Completed);
        }
    }

    /// Continues with the topics that the caller may still see, after the caller's role was lowered.
    async fn recheck_access(&mut self, connection: &Arc<Connection>) {
        let lowered = End::Session(Ended::RoleLowered);
        // No event of any topic is sent before the caller's access is known.
        self.close_silently(lowered);
        let is_open = |stream: &&TopicStream| !stream.is_closed;
        let topics = self.streams.iter().filter(is_open);
        let topics = topics.map(|stream| stream.requested.name.clone()).collect();
        let (watch, allowed) = match self.access.recheck(topics).await {
            Ok(answer) => answer,
            Err(SessionError::Ended(ended)) => return self.end(End::Session(ended)),
            Err(SessionError::Database(error)) => return self.end_if_failed(Err(error)),
        };
        connection.set_watch(watch);
        for index in 0..self.streams.len() {
            let stream = &self.streams[index];
            if stream.is_closed || self.is_over {
                continue;
            }
            if !allowed.contains(&stream.requested.name) {
                self.close_topic(index, "forbidden");
                continue;
            }
            let opened = self.open(index, stream.resume(), connection).await;
            self.end_if_failed(opened);
        }
        if allowed.is_empty() {
            self.end(lowered);
        }
    }

    /// Writes the events in the blocks of one topic's stream as events of this stream.
    fn write(&mut self, index: usize, blocks: &[u8]) {
        let (mut kind, mut data) = (&[][..], &[][..]);
        for line in blocks.split(|byte| *byte == b'\n') {
            if let Some(text) = line.strip_prefix(b"event: ") {
                kind = text;
            } else if let Some(text) = line.strip_prefix(b"data: ") {
                data = text;
                // The only block without a cursor that is not about the end of the topic's stream.
                if kind == EXPIRING.as_bytes() && !self.is_over {
                    for part in [b"event: ", kind, b"\ndata: ", data, b"\n\n"] {
                        self.ready.put_slice(part);
                    }
                }
            } else if let Some(id) = line.strip_prefix(b"id: ") {
                // A block without a cursor announces the end of the topic's stream. This stream announces its own end.
                let stream = &mut self.streams[index];
                stream.cursor = Some(String::from_utf8_lossy(id).into_owned());
                let topic = stream.requested.name.clone();
                let head = format!("{{\"topic\":\"{topic}\",\"data\":");
                self.write_event(kind, &[head.as_bytes(), data, b"}"]);
            }
        }
    }

    /// Tells the client that no further events of a topic follow.
    fn close_topic(&mut self, index: usize, reason: &str) {
        let stream = &mut self.streams[index];
        stream.is_closed = true;
        let data =
            event::json(&json!({ "topic": stream.requested.name.as_str(), "reason": reason }));
        self.write_event(b"topic.closed", &[data.as_bytes()]);
    }

    /// Writes an event, unless the stream is over. Ends the stream after the maximum number of events.
    fn write_event(&mut self, kind: &[u8], data: &[&[u8]]) {
        if self.is_over {
            return;
        }
        for part in [b"event: ", kind, b"\ndata: "].iter().chain(data) {
            self.ready.put_slice(part);
        }
        // The last line, see `event::block`. Without cursors there is no line, because an empty id would clear the
        // client's cursor.
        let cursors = self.streams.iter().filter_map(|stream| stream.cursor.as_deref());
        let mut before: &[u8] = b"\nid: ";
        for cursor in cursors {
            self.ready.put_slice(before);
            self.ready.put_slice(cursor.as_bytes());
            before = b".";
        }
        self.ready.put_slice(b"\n\n");
        self.events_left -= 1;
        if self.events_left == 0 {
            self.end(End::MaxEvents);
        }
    }

    fn end_if_failed(&mut self, opened: Result<(), DbErr>) {
        if let Err(error) = opened {
            tracing::error!(
                parent: None,
                request_id = %self.request,
                %error,
                "cannot read a topic of a stream"
            );
            self.end(End::Failed);
        }
    }

    /// Ends the stream and tells the client the reason. If the maximum number of events is reached, sends no reason.
    fn end(&mut self, end: End) {
        if self.is_over {
            return;
        }
        self.close_silently(end);
        self.is_over = true;
        let failure = self.streams.first().map(|stream| stream.requested.properties.failure);
        let failure = || failure.map(|failure| failure(self.request)).unwrap_or_default();
        self.ready.put_slice(&end.text(self.opener.context().settings.retry, failure));
    }

    /// Ends the topics' streams. They send no reason to the client.
    fn close_silently(&mut self, end: End) {
        for body in self.streams.iter_mut().filter_map(|stream| stream.body.take()) {
            body.close_silently(end);
        }
    }
}

impl TopicStream {
    /// The point at which the topic resumes.
    fn resume(&self) -> Resume {
        let cursor = self.cursor.as_ref().and_then(|cursor| cursor.parse().ok());
        cursor.map_or(Resume::Start, Resume::After)
    }
}
