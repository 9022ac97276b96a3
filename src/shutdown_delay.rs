//! The time between a stop signal and the drain.
//!
//! A load balancer needs some time to learn that a gateway is not ready. The gateway accepts connections until then.

use std::time::Duration;

use tokio::{sync::watch, time::timeout};

/// The time between the start of a shutdown and the drain. All clones are the same value.
#[derive(Clone, Debug, Default)]
pub struct ShutdownDelay(watch::Sender<bool>);

impl ShutdownDelay {
    /// Waits for this time, or until [`ShutdownDelay::end`].
    pub async fn run(&self, time: Duration) {
        let mut is_running = self.0.subscribe();
        self.0.send_replace(true);
        let _ = timeout(time, is_running.wait_for(|is_running| !is_running)).await;
        self.end();
    }

    /// Ends the delay early. Returns false if it has not started or is over.
    pub fn end(&self) -> bool {
        self.0.send_if_modified(std::mem::take)
    }
}
