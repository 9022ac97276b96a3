//! A connection, which one stream or many share.
//!
//! A connection carries one topic or many. It takes one slot, and the streams on it share that.

use std::{
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

use crate::{
    auth::login_session::{Ended, Watch},
    event::Topic,
    hub::context::Context,
    limit::{Admission, Slot},
};

/// The client that opens a stream, and what it was given for that.
pub struct Client {
    /// Id of the request that opens the stream. It becomes the connection's id.
    pub request: Uuid,
    /// Address from which the request came.
    pub address: IpAddr,
    /// Tells when the login session ends.
    pub watch: Watch,
    /// The slot that the connection takes.
    pub slot: Slot,
    /// The TCP connection's admission: kept as long as the stream is open.
    pub admission: Option<Arc<Admission>>,
}

/// An open connection. The last of its streams gives back what it holds.
pub struct Connection {
    id: Uuid,
    address: IpAddr,
    slot: Slot,
    _admission: Option<Arc<Admission>>,
    /// The login session of its user.
    watch: Mutex<Watch>,
    /// Events sent by streams that are no longer on the connection.
    sent_before: AtomicU64,
    /// A shutdown waits for it.
    _open: TaskTrackerToken,
}

impl Connection {
    /// A connection without streams.
    pub fn new(context: &Context, client: Client) -> Arc<Self> {
        let Client { request, address, watch, slot, admission } = client;
        Arc::new(Self {
            id: request,
            address,
            slot,
            _admission: admission,
            watch: Mutex::new(watch),
            sent_before: AtomicU64::new(0),
            _open: context.token(),
        })
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Whether it belongs to this user. Every connection belongs to `None`.
    pub fn belongs_to(&self, user: Option<Uuid>) -> bool {
        user.is_none_or(|user| user == self.slot.user())
    }

    /// Time until which the login session allows it, as far as is known, or the reason why it does
    /// not any longer.
    pub fn allowed_until(&self, now: Timestamp) -> Result<Timestamp, Ended> {
        self.watch.lock().check(now)
    }

    /// Replaces the watch of the login session.
    pub fn set_watch(&self, watch: Watch) {
        *self.watch.lock() = watch;
    }

    /// Counts the events that a stream has sent which leaves the connection.
    pub fn release(&self, delivered: u64) {
        self.sent_before.fetch_add(delivered, Ordering::Relaxed);
    }

    /// Its description, without its streams.
    pub fn describe(&self) -> OpenConnection {
        OpenConnection {
            id: self.id,
            user: self.slot.user(),
            topics: Vec::new(),
            address: self.address,
            delivered: self.sent_before.load(Ordering::Relaxed),
            lag: 0,
        }
    }
}

/// An open connection, as callers see it.
#[derive(Clone, Debug)]
pub struct OpenConnection {
    /// Id of the request that opened it, a UUIDv7: ids are in the order of time.
    pub id: Uuid,
    /// Id of its user.
    pub user: Uuid,
    /// The topics that it carries.
    pub topics: Vec<Topic>,
    /// Address from which it was opened.
    pub address: IpAddr,
    /// Events that it was sent, snapshots included.
    pub delivered: u64,
    /// Events that it has yet to be sent.
    pub lag: u64,
}
