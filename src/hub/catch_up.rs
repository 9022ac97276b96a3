//! Going back to the log, for a topic that has missed something and for a subscriber that has.

use std::sync::Arc;

use sea_orm::DbErr;

use super::{
    Hub,
    course::Course,
    frame::{Frame, Run},
    live::{Live, Pushed},
    open::Shown,
    outlet::Outlet,
};
use crate::{
    event::Cursor,
    event_log::{LogError, Most},
};

/// One look at the log: what a subscriber that catches up holds in memory.
const PAGE: Most = Most { events: 50, bytes: 64 << 10 };

/// What a subscriber has missed.
enum Missed {
    /// These, or nothing.
    Events(Option<Run>),
    /// More than the log still has.
    Afresh(Shown),
}

impl Hub {
    /// Reads from the log what the ring lacks, one reader per topic however many notice.
    pub(super) fn fill(self: &Arc<Self>, live: Arc<Live>) {
        if !live.begin_fill() {
            return;
        }
        self.telemetry.caught_up(live.topic().family().name());
        let hub = Arc::clone(self);
        let work = async move {
            while live.fill_again() {
                if let Err(error) = hub.fill_once(&live).await {
                    // The next heartbeat tries again.
                    tracing::warn!(topic = %live.topic(), %error, "cannot read the event log");
                    live.give_up_fill();
                    return;
                }
            }
        };
        self.tasks.spawn_on(work, &self.runtime);
    }

    async fn fill_once(&self, live: &Arc<Live>) -> Result<(), DbErr> {
        loop {
            let Some(head) = live.head() else {
                return self.start(live).await.map(drop);
            };
            match self.log.after(live.topic(), head, PAGE).await {
                Ok(page) => {
                    live.push(page.events.iter().map(|event| (head.epoch, Frame::from(event))));
                    if !page.has_more {
                        return Ok(());
                    }
                }
                // Pruned past the ring, or not the log it was: begin at the present.
                // Subscribers find out by themselves and start afresh.
                Err(LogError::Stale(_)) => return self.start(live).await.map(drop),
                Err(LogError::Database(error)) => return Err(error),
            }
        }
    }

    /// Begins a ring at the present.
    pub(super) async fn start(&self, live: &Arc<Live>) -> Result<Pushed, DbErr> {
        let (head, is_over) = self.log.head(live.topic()).await?;
        Ok(live.start(head, is_over))
    }

    async fn missed(
        self: &Arc<Self>,
        live: &Arc<Live>,
        cursor: Cursor,
        left: u64,
    ) -> Result<Missed, DbErr> {
        // Many may be behind at once, and none of them is in a hurry that justifies taking all
        // connections to the database, or an error because there was none.
        let turn = self.readers.acquire().await;
        self.telemetry.caught_up(live.topic().family().name());
        let most = Most { events: PAGE.events.min(left), ..PAGE };
        match self.log.after(live.topic(), cursor, most).await {
            Ok(page) => {
                let frames: Vec<Frame> = page.events.iter().map(Frame::from).collect();
                let run = Run::of(&frames.iter().collect::<Vec<_>>());
                if run.is_none() {
                    self.fill(Arc::clone(live));
                }
                Ok(Missed::Events(run))
            }
            Err(LogError::Stale(stale)) => {
                drop(turn);
                self.shown(live, Some(stale.reason())).await.map(Missed::Afresh)
            }
            Err(LogError::Database(error)) => Err(error),
        }
    }
}

impl Course {
    /// Has what follows the cursor read from the log, for the stream that leaves by `outlet`.
    pub(super) fn fetch(&mut self, outlet: &Arc<Outlet>) {
        self.has_asked();
        let (hub, live) = (Arc::clone(&self.hub), Arc::clone(&self.live));
        let (cursor, left, outlet) = (self.cursor, self.left_of_log(), Arc::clone(outlet));
        let work = async move {
            let missed = hub.missed(&live, cursor, left).await;
            outlet.steer(|course| {
                if course.is_ending() {
                    return;
                }
                match missed {
                    Ok(Missed::Events(run)) => course.go_on(run),
                    Ok(Missed::Afresh(shown)) => course.show(&shown),
                    Err(error) => course.fail(&error),
                }
            });
        };
        self.hub.tasks.spawn_on(work, &self.hub.runtime);
    }
}
