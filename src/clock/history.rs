//! The settings of the wall clock that a process has noticed.

use std::{collections::VecDeque, time::Duration};

use entity::Timestamp;
use uuid::Uuid;

/// A wall clock that was set counts again once it has been stable for this long.
pub const SETTLING: Duration = Duration::from_mins(1);

/// Microseconds by which the wall clock may be set without it being a jump. Time services make steps of up to a second
/// (a leap second, for example), and the measurement is not exact. Small steps are followed at once.
const STEP: u64 = 1_500_000;

/// Settings that are remembered one by one. A clock that is set more often than this is a broken one.
const MAX_SETTINGS: usize = 64;

/// One setting of the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) id: Uuid,
    /// The wall time at which the uptime was zero.
    pub(super) start: Timestamp,
    /// The uptime at which it was noticed.
    pub(super) noticed: Duration,
}

impl Setting {
    pub(super) fn new(uptime: Duration, wall: Timestamp) -> Self {
        Self { id: Uuid::new_v4(), start: wall - uptime, noticed: uptime }
    }

    /// Whether the two differ by at most a small step.
    fn is_like(&self, other: &Self) -> bool {
        self.start.0.abs_diff(other.start.0) <= STEP
    }

    /// Seconds by which this one is ahead.
    pub(super) fn ahead_of(&self, other: &Self) -> f64 {
        let ahead = self.start.since(other.start).as_secs_f64();
        ahead - other.start.since(self.start).as_secs_f64()
    }
}

/// A setting that the wall clock has left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Earlier {
    pub(super) setting: Setting,
    /// The uptime until which something may have been stamped under it.
    pub(super) ended: Duration,
    /// Whether leases may have been granted under it.
    pub(super) counted: bool,
}

#[derive(Clone, Debug)]
pub(super) struct History {
    /// The present setting.
    pub(super) seen: Setting,
    /// The one that counts instead, while the present one is too new.
    pub(super) kept: Option<Setting>,
    /// The earlier ones, oldest first.
    pub(super) earlier: VecDeque<Earlier>,
    /// A summary of the settings that were dropped: the earliest start and the latest end.
    pub(super) forgotten: Option<(Timestamp, Duration)>,
    /// Whether a setting has been stable for [`SETTLING`] since this process began.
    proven: bool,
}

/// The result of a reading.
pub(super) enum Change {
    /// The wall clock was set, by so many seconds from the setting that counts, which counts on.
    Jumped(f64),
    /// The same, but the new setting counts at once, because none before was stable.
    Replaced(f64),
    /// It is back where it was.
    Returned,
    /// It has been stable for long enough and counts from here on.
    Adopted(f64),
}

impl History {
    pub(super) fn new(seen: Setting) -> Self {
        Self { seen, kept: None, earlier: VecDeque::new(), forgotten: None, proven: false }
    }

    /// The setting that counts.
    pub(super) fn counts(&self) -> &Setting {
        self.kept.as_ref().unwrap_or(&self.seen)
    }

    pub(super) fn note(&mut self, uptime: Duration, wall: Timestamp) -> Option<Change> {
        let new = Setting::new(uptime, wall);
        self.proven |= uptime.saturating_sub(self.seen.noticed) >= SETTLING;
        let jumped = !new.is_like(&self.seen);
        if jumped {
            let counted = self.kept.is_none();
            self.leave(Earlier { setting: self.seen, ended: uptime, counted });
            let before = std::mem::replace(&mut self.seen, new);
            if self.proven {
                self.kept.get_or_insert(before);
            } else {
                return Some(Change::Replaced(self.seen.ahead_of(&before)));
            }
        } else {
            self.seen.start = new.start;
        }
        let kept = self.kept?;
        let jump = self.seen.ahead_of(&kept);
        let returned = self.seen.is_like(&kept);
        if returned || uptime.saturating_sub(self.seen.noticed) >= SETTLING {
            self.kept = None;
            // It has counted until now.
            self.earlier.retain(|earlier| earlier.setting.id != kept.id);
            self.leave(Earlier { setting: kept, ended: uptime, counted: true });
            return Some(if returned { Change::Returned } else { Change::Adopted(jump) });
        }
        jumped.then_some(Change::Jumped(jump))
    }

    fn leave(&mut self, earlier: Earlier) {
        self.earlier.push_back(earlier);
        if self.earlier.len() > MAX_SETTINGS
            && let Some(Earlier { setting, ended, .. }) = self.earlier.pop_front()
        {
            let (start, last) = self.forgotten.unwrap_or((setting.start, ended));
            self.forgotten = Some((start.min(setting.start), last.max(ended)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(microseconds: u64) -> (Duration, Timestamp) {
        let wall = Timestamp(i64::try_from(microseconds).expect("small"));
        (Duration::from_micros(microseconds), wall)
    }

    #[test]
    fn a_leap_second_is_no_jump() {
        let (uptime, wall) = at(100_000_000);
        let mut history = History::new(Setting::new(uptime, wall));
        for noise in [1, 400] {
            let (uptime, wall) = at(200_000_000);
            assert!(history.note(uptime, Timestamp(wall.0 - 1_000_000 - noise)).is_none());
            assert!(history.note(uptime, Timestamp(wall.0 + noise)).is_none());
        }
    }
}
