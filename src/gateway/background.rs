//! The background work: what is done again and again, with each heartbeat, and on news.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, sleep},
};

use super::Gateway;
use crate::{bus::Message, clock::Reading, event::Family};

/// From reading to reading of a clock that has not been stable for long enough.
const WHILE_SETTLING: Duration = Duration::from_secs(1);

impl Gateway {
    /// Runs `work` again and again until the service ends.
    pub fn every<F>(
        self: &Arc<Self>,
        interval: Duration,
        work: impl Fn(Arc<Self>) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send,
    {
        let gateway = Arc::clone(self);
        self.tasks.spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while gateway.stopping.run_until_cancelled(ticks.tick()).await.is_some() {
                work(Arc::clone(&gateway)).await;
            }
        });
    }

    /// Runs `work` now, whenever a lease may have run out, and with every heartbeat, for the leases of
    /// gateways that have stopped.
    pub fn at_leases_end<F>(self: &Arc<Self>, work: impl Fn(Arc<Self>) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let gateway = Arc::clone(self);
        let heartbeat = Duration::from_secs(self.config.streams.heartbeat_seconds);
        self.tasks.spawn(async move {
            loop {
                work(Arc::clone(&gateway)).await;
                let rung = gateway.next_lease_end.wait(Instant::now() + heartbeat);
                if gateway.stopping.run_until_cancelled(rung).await.is_none() {
                    break;
                }
            }
        });
    }

    /// Waits until the wall clock can be trusted to delete by; none if the service ends first.
    pub async fn settled(&self) -> Option<Reading> {
        let settled = async {
            loop {
                let now = self.clock.read();
                if now.is_settled() {
                    break now;
                }
                sleep(WHILE_SETTLING).await;
            }
        };
        self.stopping.run_until_cancelled(settled).await
    }

    /// Notices when the database takes writes again.
    pub(super) fn watch_writes(self: &Arc<Self>) {
        let gateway = Arc::clone(self);
        self.tasks.spawn(async move {
            gateway.stopping.run_until_cancelled(gateway.database.watch_writes()).await;
        });
    }

    /// Has streams looked at when a session under one of them changes.
    pub(super) fn watch_sessions(self: &Arc<Self>) {
        let gateway = Arc::clone(self);
        self.tasks.spawn(async move {
            while gateway.stopping.run_until_cancelled(gateway.sessions.news()).await.is_some() {
                gateway.hub.look();
            }
        });
    }

    pub(super) fn listen(self: &Arc<Self>, mut news: mpsc::Receiver<Message>) {
        let gateway = Arc::clone(self);
        self.tasks.spawn(async move {
            while let Some(Some(message)) = gateway.stopping.run_until_cancelled(news.recv()).await
            {
                match message {
                    Message::Events(events) => gateway.hub.deliver(&events),
                    Message::SessionRevoked(session) => gateway.sessions.session_ended(session),
                    Message::UserChanged(user) => {
                        if let Err(error) = gateway.sessions.recheck_user(user).await {
                            tracing::warn!(%error, "cannot look up a changed user's sessions");
                        }
                    }
                }
            }
        });
    }

    /// With every heartbeat: what the bus may have lost, and whether the wall clock has jumped.
    pub(super) async fn recheck(self: Arc<Self>) {
        self.clock.read();
        if let Err(error) = self.sessions.recheck().await {
            tracing::warn!(%error, "cannot look up the sessions of open streams");
        }
        if let Err(error) = self.hub.recheck().await {
            tracing::warn!(%error, "cannot compare live topics with the event log");
        }
    }

    /// Now and then: what is no longer needed.
    pub(super) async fn sweep(self: Arc<Self>) {
        self.limits.prune();
        let Some(now) = self.settled().await else { return };
        for family in Family::ALL {
            let (retention, _) = self.settings(family);
            match self.hub.log().prune(family, retention, &now).await {
                Ok(0) => {}
                Ok(events) => {
                    tracing::info!(family = family.name(), events, "pruned the event log");
                }
                Err(error) => tracing::warn!(%error, "cannot prune the event log"),
            }
        }
        if let Err(error) = self.sessions.prune(now.cutoff(Duration::from_hours(24))).await {
            tracing::warn!(%error, "cannot prune old sessions");
        }
    }
}
