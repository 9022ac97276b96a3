//! A connection, which one or more streams share.
//!
//! A connection has one stream for each of its topics. The connection takes one slot, which its streams share.

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
    auth::login_session::{Ended, SessionWatch},
    event::Topic,
    hub::context::Context,
    limit::{ConnectionPermit, Slot},
};

/// The client that opens a stream, and the limits that count the stream.
pub struct Client {
    /// Id of the request that opens the stream. This becomes the connection's id.
    pub request: Uuid,
    /// Address from which the request came.
    pub address: IpAddr,
    /// Reports the end of the login session.
    pub watch: SessionWatch,
    /// The slot that the connection takes.
    pub slot: Slot,
    /// Permit of the TCP connection, held until the stream closes. `None` if the request came without a TCP
    /// connection, as in tests.
    pub permit: Option<Arc<ConnectionPermit>>,
}

/// An open connection. Its slot is freed with its last stream.
pub struct Connection {
    id: Uuid,
    address: IpAddr,
    slot: Slot,
    _permit: Option<Arc<ConnectionPermit>>,
    /// Reports the end of the user's login session.
    watch: Mutex<SessionWatch>,
    /// Number of events that were sent by streams that are no longer on the connection.
    events_of_closed_streams: AtomicU64,
    /// A shutdown waits until this token is dropped.
    _shutdown_token: TaskTrackerToken,
}

impl Connection {
    /// Creates a connection without streams.
    pub fn new(context: &Context, client: Client) -> Arc<Self> {
        let Client { request, address, watch, slot, permit } = client;
        Arc::new(Self {
            id: request,
            address,
            slot,
            _permit: permit,
            watch: Mutex::new(watch),
            events_of_closed_streams: AtomicU64::new(0),
            _shutdown_token: context.token(),
        })
    }

    /// Id of the connection: the id of the request that opened it.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Whether the connection belongs to `user`. Every connection belongs to `None`.
    pub fn belongs_to(&self, user: Option<Uuid>) -> bool {
        user.is_none_or(|user| user == self.slot.user())
    }

    /// Time until which the login session allows the connection, as far as is known. If the session no longer allows
    /// it, the reason.
    pub fn allowed_until(&self, now: Timestamp) -> Result<Timestamp, Ended> {
        self.watch.lock().check(now)
    }

    /// Replaces the watch of the login session, for example after the caller's role was lowered.
    pub fn set_watch(&self, watch: SessionWatch) {
        *self.watch.lock() = watch;
    }

    /// Adds the number of events that a stream has sent, when the stream leaves the connection.
    pub fn release(&self, delivered: u64) {
        self.events_of_closed_streams.fetch_add(delivered, Ordering::Relaxed);
    }

    /// A description of the connection, without its streams.
    pub fn describe(&self) -> OpenConnection {
        OpenConnection {
            id: self.id,
            user: self.slot.user(),
            topics: Vec::new(),
            address: self.address,
            delivered: self.events_of_closed_streams.load(Ordering::Relaxed),
            lag: 0,
        }
    }
}

/// A description of an open connection.
#[derive(Clone, Debug)]
pub struct OpenConnection {
    /// Id of the request that opened the connection. The id is a UUIDv7, so ids are in the order of time.
    pub id: Uuid,
    /// Id of the user who has opened the connection.
    pub user: Uuid,
    /// Topics that the connection carries.
    pub topics: Vec<Topic>,
    /// Address from which the connection was opened.
    pub address: IpAddr,
    /// Number of events that were sent, including snapshots.
    pub delivered: u64,
    /// Number of events that are not sent yet, as far as this gateway knows.
    pub lag: u64,
}
