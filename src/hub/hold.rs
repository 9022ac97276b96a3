//! What an open stream takes from others, and how it is given back: at once when the client leaves,
//! and soon after its end when the client does not read.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use super::{Hub, Member};
use crate::{limit::Slot, session::Ended};

/// Why a stream ends, as `stream.closed` and the metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Completed,
    MaxEvents,
    MaxSeconds,
    Session(Ended),
    Shutdown,
    Failed,
    ClientGone,
}

impl End {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::MaxEvents => "max_events",
            Self::MaxSeconds => "max_seconds",
            Self::Session(ended) => ended.reason(),
            Self::Shutdown => "shutdown",
            Self::Failed => "failed",
            Self::ClientGone => "client_gone",
        }
    }
}

/// What an open stream takes from others. Given back once, by whoever comes first: the stream, or
/// its guard.
pub(super) struct Hold {
    hub: Arc<Hub>,
    family: &'static str,
    held: Mutex<Option<(Slot, Member)>>,
    /// Whether it has been counted as open.
    counted: AtomicBool,
}

impl Hold {
    pub(super) fn new(hub: &Arc<Hub>, family: &'static str, slot: Slot, member: Member) -> Self {
        let held = Mutex::new(Some((slot, member)));
        Self { hub: Arc::clone(hub), family, held, counted: AtomicBool::new(false) }
    }

    pub(super) fn count(&self) {
        self.hub.telemetry.stream_opened(self.family);
        self.counted.store(true, Ordering::Relaxed);
    }

    pub(super) fn release(&self, end: End) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        if held.is_some() && self.counted.load(Ordering::Relaxed) {
            self.hub.telemetry.stream_closed(self.family, end.reason());
        }
    }
}

/// How long a stream that has to end may take to say so.
const FAREWELL: Duration = Duration::from_secs(5);

/// Waits for what ends a stream from outside. The stream itself is only asked for bytes as long as
/// its client reads; one whose client has stopped must not keep its slot beyond its session's end.
pub(super) async fn guard(
    stop: impl Future<Output = End>,
    mut told: oneshot::Sender<End>,
    hold: Arc<Hold>,
) {
    let end = tokio::select! {
        end = stop => end,
        () = told.closed() => return,
    };
    // The stream may be gone already; then there is nobody to tell.
    let _ = told.send(end);
    tokio::time::sleep(FAREWELL).await;
    hold.release(end);
}
