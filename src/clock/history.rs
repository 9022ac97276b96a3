//! The settings of the wall clock that a process has noticed.

use std::{collections::VecDeque, time::Duration};

use entity::Timestamp;
use uuid::Uuid;

/// A wall clock that was set takes effect when it has been stable for this long.
pub const STABLE_AFTER: Duration = Duration::from_mins(1);

/// A change of the wall clock by more than this is a jump, in microseconds. Time services make steps of up to a second,
/// for example a leap second, and the measurement is not exact. Smaller steps take effect at once.
const MAX_STEP: u64 = 1_500_000;

/// Maximum number of earlier settings that are kept one by one. A clock with more jumps than this is broken.
const MAX_SETTINGS: usize = 64;

/// One setting of the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) id: Uuid,
    /// The wall time at which the uptime was zero.
    pub(super) start: Timestamp,
    /// The uptime at which the setting was noticed.
    pub(super) noticed_at: Duration,
}

impl Setting {
    pub(super) fn new(uptime: Duration, wall: Timestamp) -> Self {
        Self { id: Uuid::new_v4(), start: wall - uptime, noticed_at: uptime }
    }

    /// Whether the settings differ by at most [`MAX_STEP`].
    fn is_like(&self, other: &Self) -> bool {
        self.start.0.abs_diff(other.start.0) <= MAX_STEP
    }

    /// Number of seconds by which this setting is ahead of the other one.
    pub(super) fn ahead_of(&self, other: &Self) -> f64 {
        let ahead = self.start.since(other.start).as_secs_f64();
        ahead - other.start.since(self.start).as_secs_f64()
    }
}

/// An earlier setting of the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedSetting {
    pub(super) setting: Setting,
    /// The uptime at which the setting ended. Later timestamps are from later settings.
    pub(super) ended_at: Duration,
    /// Whether the setting was in effect, so that leases may have been granted under it.
    pub(super) was_in_effect: bool,
}

#[derive(Clone, Debug)]
pub(super) struct History {
    /// The setting of the newest reading.
    pub(super) current: Setting,
    /// The previous setting, which is in effect while the current one is not yet stable.
    pub(super) in_effect: Option<Setting>,
    /// Ended settings, oldest first.
    pub(super) earlier: VecDeque<EndedSetting>,
    /// Summary of the settings that were dropped from `earlier`: the earliest start and the latest end.
    pub(super) dropped: Option<(Timestamp, Duration)>,
    /// Whether a setting has been stable for [`STABLE_AFTER`] since the start of the process.
    was_stable: bool,
}

/// The result of a reading.
pub(super) enum Change {
    /// The wall clock jumped, by so many seconds from the setting in effect, which stays in effect.
    Jumped(f64),
    /// The wall clock jumped by so many seconds. The new setting takes effect at once, because none before was stable.
    Replaced(f64),
    /// The wall clock returned to the setting in effect.
    Returned,
    /// The current setting was stable for long enough and takes effect. It is so many seconds ahead of the previous
    /// one.
    Adopted(f64),
}

impl History {
    pub(super) fn new(current: Setting) -> Self {
        Self {
            current,
            in_effect: None,
            earlier: VecDeque::new(),
            dropped: None,
            was_stable: false,
        }
    }

    /// The setting in effect.
    pub(super) fn in_effect(&self) -> &Setting {
        self.in_effect.as_ref().unwrap_or(&self.current)
    }

    /// Records a reading of the clocks.
    pub(super) fn record(&mut self, uptime: Duration, wall: Timestamp) -> Option<Change> {
        let new = Setting::new(uptime, wall);
        self.was_stable |= uptime.saturating_sub(self.current.noticed_at) >= STABLE_AFTER;
        let jumped = !new.is_like(&self.current);
        if jumped {
            let was_in_effect = self.in_effect.is_none();
            self.end(EndedSetting { setting: self.current, ended_at: uptime, was_in_effect });
            let before = std::mem::replace(&mut self.current, new);
            if self.was_stable {
                self.in_effect.get_or_insert(before);
            } else {
                return Some(Change::Replaced(self.current.ahead_of(&before)));
            }
        } else {
            self.current.start = new.start;
        }
        let previous = self.in_effect?;
        let jump = self.current.ahead_of(&previous);
        let returned = self.current.is_like(&previous);
        if returned || uptime.saturating_sub(self.current.noticed_at) >= STABLE_AFTER {
            self.in_effect = None;
            // This setting was in effect until now.
            self.earlier.retain(|earlier| earlier.setting.id != previous.id);
            self.end(EndedSetting { setting: previous, ended_at: uptime, was_in_effect: true });
            return Some(if returned { Change::Returned } else { Change::Adopted(jump) });
        }
        jumped.then_some(Change::Jumped(jump))
    }

    fn end(&mut self, earlier: EndedSetting) {
        self.earlier.push_back(earlier);
        if self.earlier.len() > MAX_SETTINGS
            && let Some(EndedSetting { setting, ended_at, .. }) = self.earlier.pop_front()
        {
            let (start, last) = self.dropped.unwrap_or((setting.start, ended_at));
            self.dropped = Some((start.min(setting.start), last.max(ended_at)));
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
            assert!(history.record(uptime, Timestamp(wall.0 - 1_000_000 - noise)).is_none());
            assert!(history.record(uptime, Timestamp(wall.0 + noise)).is_none());
        }
    }
}
