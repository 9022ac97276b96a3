//! Open connections, as whoever looks after them sees and ends them.
//!
//! A connection has one topic or many; what it takes from others it takes once, and the streams on
//! it share that. What it has been sent is counted where a stream's course keeps its books anyway.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use entity::Timestamp;
use parking_lot::Mutex;
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

use super::{Hub, course::Course, end::End};
use crate::{
    auth::login_session::{Ended, Watch},
    event::Topic,
    limit::{Admission, Slot},
};

/// Who opens a stream, and what that takes.
pub struct Opener {
    /// The request that opens it: its id is the connection's.
    pub request: Uuid,
    /// Where the request came from.
    pub address: IpAddr,
    /// Whose session, under watch.
    pub watch: Watch,
    /// The place that it takes.
    pub slot: Slot,
    /// The connection that it is opened on: open for as long as the stream is.
    pub admission: Option<Arc<Admission>>,
}

/// What the streams of one connection share, given back with the last of them.
pub(super) struct Connection {
    pub(super) id: Uuid,
    address: IpAddr,
    slot: Slot,
    _admission: Option<Arc<Admission>>,
    /// The caller's session.
    watch: Mutex<Watch>,
    /// What streams that have left the connection were sent.
    departed: AtomicU64,
    /// A shutdown waits for it.
    _open: TaskTrackerToken,
}

impl Connection {
    /// Until when it may go on, as far as is known, or why it may not.
    pub(super) fn standing(&self, now: Timestamp) -> Result<Timestamp, Ended> {
        self.watch.lock().standing(now)
    }

    /// Watches the session in another way.
    pub(super) fn renew(&self, watch: Watch) {
        *self.watch.lock() = watch;
    }

    /// Counts what a stream was sent that leaves the connection.
    pub(super) fn depart(&self, delivered: u64) {
        self.departed.fetch_add(delivered, Ordering::Relaxed);
    }

    fn is_of(&self, user: Option<Uuid>) -> bool {
        user.is_none_or(|user| user == self.slot.user())
    }
}

/// An open connection.
#[derive(Clone, Debug)]
pub struct Connected {
    /// That of the request that opened it, made of the time.
    pub id: Uuid,
    /// Whose it is.
    pub user: Uuid,
    /// What it is about.
    pub topics: Vec<Topic>,
    /// Where it came from.
    pub address: IpAddr,
    /// Events that it has been sent, snapshots included.
    pub delivered: u64,
    /// Events that it has yet to be sent.
    pub lag: u64,
}

impl Connected {
    fn of(course: &Course, connection: &Connection) -> Self {
        Self {
            id: connection.id,
            user: connection.slot.user(),
            topics: Vec::new(),
            address: connection.address,
            delivered: connection.departed.load(Ordering::Relaxed),
            lag: 0,
        }
        .with(course)
    }

    fn with(mut self, course: &Course) -> Self {
        self.topics.push(course.live.topic().clone());
        self.delivered += course.delivered;
        self.lag += course.behind();
        self
    }
}

impl Course {
    /// Whether it is open and this user's, or open at all.
    pub(super) fn is_of(&self, user: Option<Uuid>) -> bool {
        self.held.as_ref().is_some_and(|connection| connection.is_of(user))
    }

    /// Whether it is open and on this connection.
    pub(super) fn is_on(&self, id: Uuid) -> bool {
        self.held.as_ref().is_some_and(|connection| connection.id == id)
    }

    /// How many events it is behind its topic, as far as this gateway knows.
    fn behind(&self) -> u64 {
        let head = self.live.head().filter(|head| head.history == self.place.history);
        head.map_or(0, |head| u64::try_from(head.seq - self.place.seq).unwrap_or_default())
    }

    /// Adds what there is to say about it to the list.
    pub(super) fn report(&self, list: &mut BTreeMap<Uuid, Connected>) {
        let Some(connection) = &self.held else { return };
        let connected = match list.remove(&connection.id) {
            Some(connected) => connected.with(self),
            None => Connected::of(self, connection),
        };
        list.insert(connection.id, connected);
    }
}

impl Hub {
    /// What the streams on one connection are to share.
    pub(super) fn connect(&self, opener: Opener) -> Arc<Connection> {
        let Opener { request, address, watch, slot, admission } = opener;
        Arc::new(Connection {
            id: request,
            address,
            slot,
            _admission: admission,
            watch: Mutex::new(watch),
            departed: AtomicU64::new(0),
            _open: self.tasks.token(),
        })
    }

    /// The open connections of this gateway, one user's or all, oldest first.
    #[must_use]
    pub fn connections(&self, of: Option<Uuid>) -> Vec<Connected> {
        let mut list = BTreeMap::new();
        for outlet in self.reactors.outlets() {
            outlet.report(of, &mut list);
        }
        list.into_values().collect()
    }

    /// Ends a connection of this gateway, if it is open and this user's, or open at all. Whether it
    /// was.
    #[must_use]
    pub fn disconnect(&self, id: Uuid, of: Option<Uuid>) -> bool {
        let outlets = self.reactors.outlets();
        let theirs = outlets.iter().filter(|outlet| outlet.is_on(id, of));
        theirs.map(|outlet| outlet.end(End::Disconnected)).count() > 0
    }
}
