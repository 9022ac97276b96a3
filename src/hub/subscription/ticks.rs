//! The time of a reactor: ticks, several in a heartbeat.

use std::time::Instant;

use entity::Timestamp;

/// Ticks in a heartbeat.
pub const TICKS: u32 = 8;

/// After so many ticks without a write a stream gets a heartbeat. So it is silent for three
/// quarters of the configured time at least, and never for longer than that time.
pub const QUIET: u32 = TICKS - 1;

/// The moment at which a stream is checked.
pub struct Now {
    /// The time that passes.
    pub instant: Instant,
    /// The wall clock: sessions expire by it.
    pub timestamp: Timestamp,
    /// The reactor's tick.
    pub tick: u32,
}
