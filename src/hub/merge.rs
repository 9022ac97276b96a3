//! Many topics on one connection.
//!
//! Each topic is a stream of its own, which follows its course as any other does: it starts with a
//! snapshot or behind a cursor, catches up, starts afresh, misses what its strategy lets it miss.
//! They share a connection, and so a slot. What they send is taken apart and written anew: every
//! event says its topic, and its cursor becomes one that holds the places of all topics, so that a
//! client that comes back goes on in each of them where it was.
//!
//! A topic can leave while the others go on, because it has ended or because its caller may not see
//! it any more. Whatever else ends a topic's stream ends the whole.

use std::{
    future::poll_fn,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Instant,
};

use async_trait::async_trait;
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
    Bounds, Hub, Opener, Opening, Resume, Wanted,
    clock::{QUIET, TICKS},
    connection::Connection,
    end::{End, prelude},
    outlet::Body,
};
use crate::{
    auth::login_session::{Ended, SessionError, Watch},
    event::{self, Cursors, Topic},
};

/// Who says what a caller may see, once its role has been lowered.
#[async_trait]
pub trait Access: Send + Sync + 'static {
    /// The caller's session, under watch as it is now, and those of the topics that the caller may
    /// still see.
    async fn ask(&self, topics: Vec<Topic>) -> Result<(Watch, Vec<Topic>), SessionError>;
}

/// A stream of many topics, to be opened for a caller that has been let in.
pub struct OpenMany {
    /// About what; no topic twice.
    pub wanted: Vec<Wanted>,
    /// From where.
    pub resume: Resume<Cursors>,
    /// Until when, all topics together.
    pub bounds: Bounds,
    /// For whom.
    pub opener: Opener,
    /// What the caller may see later.
    pub access: Arc<dyn Access>,
}

/// One of the topics.
struct Branch {
    wanted: Wanted,
    /// Its stream, while it has one.
    body: Option<Body>,
    /// Up to where the client has been sent its events: a cursor, as text.
    place: Option<String>,
    /// The client was told that it has left.
    has_left: bool,
}

/// An open stream of many topics. Dropping it closes it.
pub struct Merge {
    hub: Arc<Hub>,
    request: Uuid,
    branches: Vec<Branch>,
    /// Held by the topics' streams, and given back with the last of them.
    connection: Weak<Connection>,
    access: Arc<dyn Access>,
    /// Until when the client wanted it.
    until: Option<Instant>,
    /// Events that may still be sent.
    left: u64,
    /// The topic whose turn it is.
    turn: usize,
    /// What goes out next.
    ready: BytesMut,
    /// When something last went out.
    written: time::Instant,
    is_over: bool,
}

/// What a topic's stream has come up with: text, or its end.
struct News {
    branch: usize,
    text: Option<Bytes>,
    /// Held meanwhile, so that the last stream to end does not take the slot with it before it is
    /// known whether it goes on.
    connection: Option<Arc<Connection>>,
}

impl Hub {
    /// Opens a stream of many topics.
    pub async fn open_many(self: &Arc<Self>, open: OpenMany) -> Result<Opening<Merge>, DbErr> {
        let OpenMany { wanted, resume, bounds, opener, access } = open;
        let request = opener.request;
        let connection = self.connect(opener);
        let branch = |wanted| Branch { wanted, body: None, place: None, has_left: false };
        let mut merge = Merge {
            hub: Arc::clone(self),
            request,
            branches: wanted.into_iter().map(branch).collect(),
            connection: Arc::downgrade(&connection),
            access,
            until: bounds.max_time.map(|time| Instant::now() + time),
            left: bounds.max_events.map_or(u64::MAX, Into::into),
            turn: 0,
            ready: prelude(self.settings.retry).as_slice().into(),
            written: time::Instant::now(),
            is_over: false,
        };
        let resumes = merge.resumes(resume).await?;
        for (branch, resume) in resumes.into_iter().enumerate() {
            merge.open(branch, resume, &connection).await?;
        }
        let is_complete = merge.branches.iter().all(|branch| branch.has_left);
        Ok(if is_complete { Opening::Complete } else { Opening::Stream(merge) })
    }
}

impl Merge {
    /// Sends it as the body of a response that somebody else frames.
    pub fn into_body(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold(self, async |mut merge| {
            let text = merge.next().await?;
            Some((text, merge))
        })
    }

    /// Where each topic goes on. It finds its cursor among the others by its epoch.
    async fn resumes(&self, resume: Resume<Cursors>) -> Result<Vec<Resume>, DbErr> {
        let cursors = match resume {
            Resume::Start => return Ok(vec![Resume::Start; self.branches.len()]),
            Resume::Unreadable => return Ok(vec![Resume::Unreadable; self.branches.len()]),
            Resume::After(cursors) => cursors,
        };
        let topics: Vec<Topic> =
            self.branches.iter().map(|branch| branch.wanted.topic.clone()).collect();
        let positions = self.hub.log.positions(&topics).await?;
        let resume = |topic: &Topic| {
            let cursor = cursors.of(positions.get(topic.as_str())?.epoch)?;
            Some(Resume::After(cursor))
        };
        Ok(topics.iter().map(|topic| resume(topic).unwrap_or(Resume::Start)).collect())
    }

    /// Opens the stream of a topic.
    async fn open(
        &mut self,
        index: usize,
        resume: Resume,
        connection: &Arc<Connection>,
    ) -> Result<(), DbErr> {
        let branch = &mut self.branches[index];
        if let Resume::After(cursor) = resume {
            branch.place = Some(cursor.to_string());
        }
        let max_time = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        // Events are counted as they leave.
        let bounds = Bounds { max_events: None, max_time };
        let held = Arc::clone(connection);
        match self.hub.subscribe(&branch.wanted, resume, bounds, held).await? {
            Opening::Stream(subscription) => branch.body = Some(subscription.attach()),
            Opening::Complete => self.dismiss(index, End::Completed.reason()),
        }
        Ok(())
    }

    /// What goes out next.
    async fn next(&mut self) -> Option<Bytes> {
        while self.ready.is_empty() {
            if self.is_over {
                return None;
            }
            let silence = self.hub.settings.heartbeat * QUIET / TICKS;
            let silent = sleep_until(self.written + silence);
            select! {
                biased;
                news = poll_fn(|cx| self.poll(cx)) => self.take(news).await,
                () = silent => self.ready.put_slice(b":\n\n"),
            }
        }
        self.written = time::Instant::now();
        Some(self.ready.split().freeze())
    }

    /// Asks the topics' streams in turn.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<News> {
        let connection = self.connection.upgrade();
        let count = self.branches.len();
        for step in 0..count {
            let branch = (self.turn + step) % count;
            if let Some(body) = &mut self.branches[branch].body
                && let Poll::Ready(text) = body.poll_next_unpin(cx)
            {
                self.turn = branch + 1;
                return Poll::Ready(News { branch, text, connection });
            }
        }
        Poll::Pending
    }

    async fn take(&mut self, News { branch, text, connection }: News) {
        if let Some(text) = text {
            self.write(branch, &text);
            return;
        }
        let Some(body) = self.branches[branch].body.take() else { return };
        match (body.end(), connection) {
            (Some((End::Completed, true)), _) => self.dismiss(branch, End::Completed.reason()),
            // It has ended before the client had all of it: it is asked for the rest.
            (Some((End::Completed, false)), Some(connection)) => {
                let resume = self.branches[branch].resume();
                let opened = self.open(branch, resume, &connection).await;
                self.unless_broken(opened);
            }
            (Some((End::Session(Ended::RoleLowered), _)), Some(connection)) => {
                self.ask_again(&connection).await;
            }
            // There is no connection to ask on any more: the client comes back for it.
            (Some((End::Completed, false)), None) | (None, _) => self.is_over = true,
            (Some((end, _)), _) => self.end(end),
        }
        if !self.is_over && self.branches.iter().all(|branch| branch.has_left) {
            self.end(End::Completed);
        }
    }

    /// The caller's role was lowered: goes on with what the caller may still see.
    async fn ask_again(&mut self, connection: &Arc<Connection>) {
        let lowered = End::Session(Ended::RoleLowered);
        // Nothing more of any topic before it is known.
        self.cut(lowered);
        let staying = |branch: &&Branch| !branch.has_left;
        let topics = self.branches.iter().filter(staying);
        let topics = topics.map(|branch| branch.wanted.topic.clone()).collect();
        let (watch, allowed) = match self.access.ask(topics).await {
            Ok(answer) => answer,
            Err(SessionError::Ended(ended)) => return self.end(End::Session(ended)),
            Err(SessionError::Database(error)) => return self.unless_broken(Err(error)),
        };
        connection.renew(watch);
        for index in 0..self.branches.len() {
            let branch = &self.branches[index];
            if branch.has_left || self.is_over {
                continue;
            }
            if !allowed.contains(&branch.wanted.topic) {
                self.dismiss(index, "forbidden");
                continue;
            }
            let opened = self.open(index, branch.resume(), connection).await;
            self.unless_broken(opened);
        }
        if allowed.is_empty() {
            self.end(lowered);
        }
    }

    /// Writes the events in a stream's blocks as those of a topic among others.
    fn write(&mut self, index: usize, blocks: &[u8]) {
        let (mut id, mut kind) = (None, &[][..]);
        for line in blocks.split(|byte| *byte == b'\n') {
            if let Some(text) = line.strip_prefix(b"id: ") {
                id = Some(text);
            } else if let Some(text) = line.strip_prefix(b"event: ") {
                kind = text;
            } else if let Some(data) = line.strip_prefix(b"data: ")
                // What has no cursor tells of the stream's end, which is told for all topics at once.
                && let Some(id) = id.take()
            {
                let branch = &mut self.branches[index];
                branch.place = Some(String::from_utf8_lossy(id).into_owned());
                let topic = branch.wanted.topic.clone();
                let head = format!("{{\"topic\":\"{topic}\",\"data\":");
                self.put(kind, &[head.as_bytes(), data, b"}"]);
            }
        }
    }

    /// Tells the client that a topic has left.
    fn dismiss(&mut self, index: usize, reason: &str) {
        let branch = &mut self.branches[index];
        branch.has_left = true;
        let data = event::json(&json!({ "topic": branch.wanted.topic.as_str(), "reason": reason }));
        self.put(b"topic.closed", &[data.as_bytes()]);
    }

    /// Puts out an event, unless the client has had as many as it wanted.
    fn put(&mut self, kind: &[u8], data: &[&[u8]]) {
        if self.is_over {
            return;
        }
        let places = self.branches.iter().filter_map(|branch| branch.place.as_deref());
        let mut before: &[u8] = b"id: ";
        for place in places {
            self.ready.put_slice(before);
            self.ready.put_slice(place.as_bytes());
            before = b".";
        }
        // An empty id would make the client forget what it has.
        let end_of_id: &[u8] = if before == b"." { b"\n" } else { b"" };
        for part in [end_of_id, b"event: ", kind, b"\ndata: "].iter().chain(data) {
            self.ready.put_slice(part);
        }
        self.ready.put_slice(b"\n\n");
        self.left -= 1;
        if self.left == 0 {
            self.end(End::MaxEvents);
        }
    }

    fn unless_broken(&mut self, opened: Result<(), DbErr>) {
        if let Err(error) = opened {
            tracing::error!(id = %self.request, %error, "a stream broke");
            self.end(End::Failed);
        }
    }

    /// Ends it, with a word unless its events were counted.
    fn end(&mut self, end: End) {
        if self.is_over {
            return;
        }
        self.cut(end);
        self.is_over = true;
        let failure = self.branches.first().map(|branch| branch.wanted.subject.failure);
        let failure = || failure.map(|failure| failure(self.request)).unwrap_or_default();
        self.ready.put_slice(&end.farewell(self.hub.settings.retry, failure));
    }

    /// Ends the topics' streams, which have nothing more to say.
    fn cut(&mut self, end: End) {
        for body in self.branches.iter_mut().filter_map(|branch| branch.body.take()) {
            body.cut(end);
        }
    }
}

impl Branch {
    /// Where it goes on.
    fn resume(&self) -> Resume {
        let cursor = self.place.as_ref().and_then(|place| place.parse().ok());
        cursor.map_or(Resume::Start, Resume::After)
    }
}
