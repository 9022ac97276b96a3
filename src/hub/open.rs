//! How a stream begins.
//!
//! The order is what makes a stream whole: first the topic is joined, so that nothing committed
//! from now on can be missed, then the snapshot is read, whose cursor says which events it already
//! holds, then everything after that cursor is sent, from the ring or from the log.

use std::{
    net::TcpStream,
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use sea_orm::DbErr;
use uuid::Uuid;

use super::{
    Hub,
    connection::{Connection, Opener},
    course::Course,
    end::prelude,
    frame::chunk,
    live::{Live, Pushed},
    outlet::{Body, Sink},
    ring::{Place, Pulled},
};
use crate::{
    config::Overflow,
    event::{Cursor, Topic, block},
    event_log::Stale,
};

/// What a topic is about, for the beginning of a stream and for a fresh start.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The present state and the cursor that belongs to it, as of one moment. It is the same for
    /// all who may watch the topic, and does not change but with an event. `reset` is to be carried
    /// in the data: why the stream starts afresh although the client had a cursor.
    async fn snapshot(&self, reset: Option<&'static str>) -> Result<Snapshot, DbErr>;
}

/// The state of a resource.
#[derive(Debug)]
pub struct Snapshot {
    /// The newest event that the state includes.
    pub cursor: Cursor,
    /// JSON text as [`event::json`](crate::event::json) makes it.
    pub data: String,
    /// Whether no event can follow.
    pub terminal: bool,
}

/// What all streams of a topic share.
#[derive(Clone)]
pub struct Subject {
    /// Its state.
    pub source: Arc<dyn Source>,
    /// The data of the `error` event that ends a stream should it break, for the request that opened
    /// it: JSON text on one line.
    pub failure: fn(Uuid) -> String,
}

/// A topic to be streamed.
#[derive(Clone)]
pub struct Wanted {
    /// Which.
    pub topic: Topic,
    /// What that is.
    pub subject: Subject,
    /// What is to happen when the subscriber is slower than the topic.
    pub overflow: Overflow,
}

/// A snapshot as it goes out.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) place: Place,
    pub(super) chunk: Bytes,
    pub(super) terminal: bool,
    /// When reading it began.
    asked: Instant,
}

/// Where the client wants to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume<C = Cursor> {
    /// It has seen nothing yet.
    Start,
    /// After this event.
    After(C),
    /// It sent something that is not a cursor.
    Unreadable,
}

/// Ends that the client asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// After this many events, the snapshot included.
    pub max_events: Option<NonZeroU64>,
    /// After this time.
    pub max_time: Option<Duration>,
}

/// A stream to be opened for a caller that has been let in.
pub struct Open {
    /// About what.
    pub wanted: Wanted,
    /// From where.
    pub resume: Resume,
    /// Until when.
    pub bounds: Bounds,
    /// For whom.
    pub opener: Opener,
}

/// What opening a stream comes to.
pub enum Opening<S = Subscription> {
    /// Events follow.
    Stream(S),
    /// The client has seen the last event that there will ever be.
    Complete,
}

/// An open stream that has yet to be given a way out. Dropping it closes it.
pub struct Subscription(Course);

impl Subscription {
    /// Sends it over a socket that nobody else uses from now on: `head`, then a body in chunks
    /// (RFC 9112, section 7.1), then the end of the connection.
    pub fn onto_socket(mut self, socket: TcpStream, head: &[u8]) {
        self.0.lead(head);
        let reactors = Arc::clone(&self.0.hub.reactors);
        let outlet = reactors.attach(Sink::Socket(mio::net::TcpStream::from_std(socket)), self.0);
        match outlet.register() {
            Ok(()) => outlet.begin(),
            Err(error) => {
                tracing::warn!(%error, "cannot watch a socket");
                outlet.leave();
            }
        }
    }

    /// Sends it as the body of a response that somebody else frames.
    pub fn into_body(self) -> impl Stream<Item = Bytes> + Send + Sync + 'static {
        self.attach()
    }

    pub(super) fn attach(self) -> Body {
        let reactors = Arc::clone(&self.0.hub.reactors);
        let outlet = reactors.attach(Sink::Body(None), self.0);
        outlet.begin();
        Body(outlet)
    }
}

/// Carries a subscription in the extensions of a response to whoever chooses its way out.
#[derive(Clone)]
pub struct Handover(Arc<Mutex<Option<Subscription>>>);

impl Handover {
    /// Something to hand over.
    #[must_use]
    pub fn new(subscription: Subscription) -> Self {
        Self(Arc::new(Mutex::new(Some(subscription))))
    }

    /// Takes it, once.
    #[must_use]
    pub fn take(&self) -> Option<Subscription> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// How a wish to resume can be met.
enum Resumed {
    From(Place),
    Afresh(Option<&'static str>),
    Complete,
}

impl Hub {
    /// Opens a stream.
    pub async fn open(self: &Arc<Self>, open: Open) -> Result<Opening, DbErr> {
        let Open { wanted, resume, bounds, opener } = open;
        let mut opening = self.subscribe(&wanted, resume, bounds, self.connect(opener)).await?;
        if let Opening::Stream(Subscription(course)) = &mut opening {
            course.lead(&chunk(&prelude(self.settings.retry)));
        }
        Ok(opening)
    }

    /// Opens a stream on a connection.
    pub(super) async fn subscribe(
        self: &Arc<Self>,
        wanted: &Wanted,
        resume: Resume,
        bounds: Bounds,
        held: Arc<Connection>,
    ) -> Result<Opening, DbErr> {
        let live = self.join(&wanted.topic);
        live.subject.get_or_init(|| wanted.subject.clone());
        let until = bounds.max_time.map(|time| Instant::now() + time);
        // From here on what it holds is given back however this ends.
        let mut course =
            Course::new(self, Arc::clone(&live), held, (bounds.max_events, until), wanted.overflow);
        match self.resume(&live, resume).await? {
            Resumed::Complete => return Ok(Opening::Complete),
            Resumed::From(place) => course.place = place,
            Resumed::Afresh(reset) => course.show(&self.shown(&live, reset).await?),
        }
        course.begin();
        Ok(Opening::Stream(Subscription(course)))
    }

    async fn resume(self: &Arc<Self>, live: &Arc<Live>, resume: Resume) -> Result<Resumed, DbErr> {
        let cursor = match resume {
            Resume::Start => return Ok(Resumed::Afresh(None)),
            Resume::Unreadable => {
                return Ok(Resumed::Afresh(Some(Stale::UnknownCursor.reason())));
            }
            Resume::After(cursor) => cursor,
        };
        Ok(match self.place(live, cursor).await? {
            Ok(place) if matches!(live.pull(place, 1), Pulled::Over) => Resumed::Complete,
            Ok(place) => Resumed::From(place),
            Err(stale) => Resumed::Afresh(Some(stale.reason())),
        })
    }

    /// The present state, from memory if nothing has happened since it was read. As with all that a
    /// gateway knows, what another one wrote counts at the latest one heartbeat later.
    pub(super) async fn shown(
        self: &Arc<Self>,
        live: &Arc<Live>,
        reset: Option<&'static str>,
    ) -> Result<Shown, DbErr> {
        if let Some(reason) = reset {
            self.telemetry.reset(live.topic().family().name(), reason);
            let _turn = self.readers.acquire().await;
            return self.read_snapshot(live, reset).await;
        }
        let asked = Instant::now();
        // One reads, and all who came before it began take what it found.
        let mut newest = live.shown.lock().await;
        if let Some(shown) = &*newest
            && (live.head() == Some(shown.place) || shown.asked >= asked)
        {
            return Ok(shown.clone());
        }
        let shown = self.read_snapshot(live, None).await?;
        *newest = Some(shown.clone());
        Ok(shown)
    }

    async fn read_snapshot(
        self: &Arc<Self>,
        live: &Arc<Live>,
        reset: Option<&'static str>,
    ) -> Result<Shown, DbErr> {
        let Some(subject) = live.subject.get() else {
            return Err(DbErr::RecordNotFound(live.topic().to_string()));
        };
        loop {
            let asked = Instant::now();
            let Snapshot { cursor, data, terminal } = subject.source.snapshot(reset).await?;
            let head = (cursor, terminal);
            if live.head().is_none() && live.begin(0, head, Stale::UnknownCursor) == Pushed::Gap {
                self.fill(Arc::clone(live));
            }
            // Else the log was replaced or pruned just now, and the state is that of the past.
            if let Ok(place) = self.place(live, cursor).await? {
                let chunk = chunk(&block(Some(cursor), "snapshot", &data));
                return Ok(Shown { place, chunk, terminal, asked });
            }
        }
    }
}
