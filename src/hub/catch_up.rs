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
    ring::Place,
};
use crate::{
    event::Cursor,
    event_log::{LogError, Most, Stale},
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

    async fn fill_once(self: &Arc<Self>, live: &Arc<Live>) -> Result<(), DbErr> {
        loop {
            let Some(known) = live.known() else {
                if self.start(live).await? == Pushed::Gap {
                    self.fill(Arc::clone(live));
                }
                return Ok(());
            };
            match self.log.since(live.topic(), known.head.seq, known.furthest, PAGE).await {
                Ok(page) => {
                    let frame = |event| (known.head.epoch, Frame::from(event));
                    live.push(page.events.iter().map(frame));
                    if !page.has_more {
                        return Ok(());
                    }
                }
                Err(LogError::Stale(stale)) => {
                    // Without a log subscribers find out that there is no state to start from.
                    let nothing = (Cursor { epoch: 0, seq: 0, nonce: 0 }, false);
                    let head = self.log.head(live.topic()).await?.unwrap_or(nothing);
                    self.begin_again(live, known.history, head, stale);
                    return Ok(());
                }
                Err(LogError::Database(error)) => return Err(error),
            }
        }
    }

    /// Begins a ring anew at the present, because the log was pruned past it, or replaced.
    /// Subscribers find out by themselves and start over.
    fn begin_again(
        self: &Arc<Self>,
        live: &Arc<Live>,
        old: u32,
        head: (Cursor, bool),
        stale: Stale,
    ) {
        let (topic, reason) = (live.topic(), stale.reason());
        tracing::warn!(%topic, reason, "the event log lacks delivered events: streams start over");
        if live.begin(old, head, stale) == Pushed::Gap {
            self.fill(Arc::clone(live));
        }
    }

    /// Begins a ring at the present.
    async fn start(&self, live: &Arc<Live>) -> Result<Pushed, DbErr> {
        let head = self.log.head(live.topic()).await?;
        let head = head.ok_or_else(|| DbErr::RecordNotFound(live.topic().to_string()))?;
        Ok(live.begin(0, head, Stale::UnknownCursor))
    }

    /// Where a cursor stands in the ring's history, or why it cannot be gone on from. What the ring
    /// does not know is looked up in the log, together with what the ring does know: so it is one
    /// history in which both are.
    pub(super) async fn place(
        self: &Arc<Self>,
        live: &Arc<Live>,
        cursor: Cursor,
    ) -> Result<Result<Place, Stale>, DbErr> {
        loop {
            let Some(known) = live.known() else {
                if self.start(live).await? == Pushed::Gap {
                    self.fill(Arc::clone(live));
                }
                continue;
            };
            if let Some(place) = live.find(cursor) {
                if cursor.seq > known.head.seq {
                    self.fill(Arc::clone(live));
                }
                return Ok(Ok(place));
            }
            let found = self.log.find(live.topic(), cursor, known.furthest).await?;
            if let Some(stale) = found.known {
                self.begin_again(live, known.history, (found.head, found.closed), stale);
                continue;
            }
            if let Some(stale) = found.cursor {
                return Ok(Err(stale));
            }
            let place = live.admit(known.history, cursor);
            if !live.agrees(Some(known), found.head) {
                self.fill(Arc::clone(live));
            }
            // Without one, the ring has begun another history in the meantime.
            if let Some(place) = place {
                return Ok(Ok(place));
            }
        }
    }

    async fn missed(
        self: &Arc<Self>,
        live: &Arc<Live>,
        place: Place,
        left: u64,
    ) -> Result<Missed, DbErr> {
        let known = match live.known() {
            Some(known) if known.history == place.history => known,
            _ => return self.shown(live, Some(live.lost().reason())).await.map(Missed::Afresh),
        };
        // Many may be behind at once, and none of them is in a hurry that justifies taking all
        // connections to the database, or an error because there was none.
        let turn = self.readers.acquire().await;
        self.telemetry.caught_up(live.topic().family().name());
        let most = Most { events: PAGE.events.min(left), ..PAGE };
        match self.log.since(live.topic(), place.seq, known.furthest, most).await {
            Ok(page) => {
                let frames: Vec<Frame> = page.events.iter().map(Frame::from).collect();
                let run = Run::of(&frames.iter().collect::<Vec<_>>());
                match page.events.last() {
                    Some(event) if live.admit(known.history, event.cursor).is_none() => {
                        // The log was replaced after it was read, and the ring has heard of it.
                        drop(turn);
                        let reset = Some(Stale::Replaced.reason());
                        return self.shown(live, reset).await.map(Missed::Afresh);
                    }
                    Some(_) => {}
                    None => self.fill(Arc::clone(live)),
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
    /// Has what follows the place read from the log, for the stream that leaves by `outlet`.
    pub(super) fn fetch(&mut self, outlet: &Arc<Outlet>) {
        self.has_asked();
        let (hub, live) = (Arc::clone(&self.hub), Arc::clone(&self.live));
        let (place, left, outlet) = (self.place, self.left_of_log(), Arc::clone(outlet));
        let work = async move {
            let missed = hub.missed(&live, place, left).await;
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
