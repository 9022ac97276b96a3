//! A connection, which one or more streams share.
//!
//! A connection has one stream for each of its topics. The connection takes one slot, which its streams share.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Instant,
};

use entity::Timestamp;
use parking_lot::Mutex;
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

use super::end::End;
use crate::{
    auth::{
        login_session::{Ended, SessionWatch},
        stream_token::OpenToken,
    },
    event::Topic,
    hub::context::Context,
    limit::{ConnectionPermit, Slot},
    telemetry::CallerIds,
};

/// The client that opens a stream, and the limits that count the stream.
pub struct Client {
    /// Id of the request that opens the stream. This becomes the connection's id.
    pub request: Uuid,
    /// Ids that the caller gave to that request, for the log.
    pub caller_ids: Arc<CallerIds>,
    /// The `operationId` of that request, for the log.
    pub operation: &'static str,
    /// Address from which the request came.
    pub address: IpAddr,
    /// Reports the end of the login session.
    pub watch: SessionWatch,
    /// The slot that the connection takes.
    pub slot: Slot,
    /// The stream token that can resume the stream after it has expired. `None` without such a token.
    pub token: Option<OpenToken>,
    /// Permit of the TCP connection, held until the stream closes. `None` if the request came without a TCP
    /// connection, as in tests.
    pub permit: Option<Arc<ConnectionPermit>>,
}

/// An open connection. Its slot is freed with its last stream, and the log gets a line.
pub struct Connection {
    id: Uuid,
    caller_ids: Arc<CallerIds>,
    operation: &'static str,
    opened: Instant,
    address: IpAddr,
    user: Uuid,
    /// `None` once another connection has replaced this one, and may take the slot.
    slot: Mutex<Option<Slot>>,
    token: Option<OpenToken>,
    _permit: Option<Arc<ConnectionPermit>>,
    /// Reports the end of the user's login session.
    watch: Mutex<SessionWatch>,
    /// The end of the login session that was announced last, in microseconds. Zero before the first announcement.
    announced: AtomicI64,
    /// Number of events that were sent by streams that are no longer on the connection.
    events_of_closed_streams: AtomicU64,
    /// Why the last stream has ended, and the lag of all streams that have ended for this reason. `None` before.
    end: Mutex<Option<(End, u64)>>,
    /// A shutdown waits until this token is dropped.
    _shutdown_token: TaskTrackerToken,
}

impl Connection {
    /// Creates a connection without streams.
    pub fn new(context: &Context, client: Client) -> Arc<Self> {
        let Client { request, caller_ids, operation, address, watch, slot, token, permit } = client;
        Arc::new(Self {
            id: request,
            caller_ids,
            operation,
            opened: Instant::now(),
            address,
            user: slot.user(),
            slot: Mutex::new(Some(slot)),
            token,
            _permit: permit,
            watch: Mutex::new(watch),
            announced: AtomicI64::new(0),
            events_of_closed_streams: AtomicU64::new(0),
            end: Mutex::new(None),
            _shutdown_token: context.token(),
        })
    }

    /// Id of the connection: the id of the request that opened it.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Whether the connection belongs to `user`. Every connection belongs to `None`.
    pub fn belongs_to(&self, user: Option<Uuid>) -> bool {
        user.is_none_or(|user| user == self.user)
    }

    /// Time until which the login session allows the connection, as far as is known. If the session no longer allows
    /// it, the reason.
    pub fn allowed_until(&self, now: Timestamp) -> Result<Timestamp, Ended> {
        self.watch.lock().check(now)
    }

    /// Records that the end of the login session is announced. Returns false if it was announced before, by any stream of
    /// the connection.
    pub fn announce(&self, expiry: Timestamp) -> bool {
        self.announced.swap(expiry.0, Ordering::Relaxed) != expiry.0
    }

    /// Whether this end of the login session was announced.
    pub fn is_announced(&self, expiry: Timestamp) -> bool {
        self.announced.load(Ordering::Relaxed) == expiry.0
    }

    /// Replaces the watch of the login session, for example after the caller's role was lowered.
    pub fn set_watch(&self, watch: SessionWatch) {
        *self.watch.lock() = watch;
    }

    /// Adds the number of events that a stream has sent, when the stream leaves the connection.
    pub fn release(&self, delivered: u64) {
        self.events_of_closed_streams.fetch_add(delivered, Ordering::Relaxed);
    }

    /// Frees the slot before the connection has ended, for the connection that replaces it.
    pub fn free_slot(&self) {
        self.slot.lock().take();
    }

    /// Records why an open stream has ended, and how many events it had not sent.
    pub fn stream_ended(&self, end: End, lag: u64) {
        let mut ended = self.end.lock();
        // A stream of a topic can end before the connection, for another reason.
        let before = ended.filter(|(before, _)| *before == end).map_or(0, |(_, lag)| lag);
        *ended = Some((end, before + lag));
    }

    /// A description of the connection, without its streams.
    pub fn describe(&self) -> OpenConnection {
        OpenConnection {
            id: self.id,
            user: self.user,
            topics: Vec::new(),
            address: self.address,
            delivered: self.events_of_closed_streams.load(Ordering::Relaxed),
            lag: 0,
        }
    }
}

impl Drop for Connection {
    /// Logs the end of the connection, if it had a stream. Those that an operator can prevent are warnings. After a
    /// final end, the expired stream token cannot resume the stream.
    fn drop(&mut self) {
        let Some((end, lag)) = *self.end.get_mut() else { return };
        if let Some(token) = self.token.as_ref().filter(|_| end.is_final()) {
            token.delete();
        }
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(
                    // Another request can end the stream, and this line is not about that request.
                    parent: None,
                    request_id = %self.id,
                    correlation_id = self.caller_ids.correlation_id.as_deref(),
                    trace_id = self.caller_ids.trace_id.as_deref(),
                    address = %self.address,
                    user = %self.user,
                    operation = self.operation,
                    reason = end.reason(),
                    seconds = self.opened.elapsed().as_secs_f64(),
                    events = self.events_of_closed_streams.load(Ordering::Relaxed),
                    lag,
                    "stream ended"
                )
            };
        }
        if matches!(end, End::Overflow | End::Failed) { log!(warn) } else { log!(info) }
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
