//! The ticks of a reactor, several in each heartbeat.

use std::time::Instant;

use entity::Timestamp;

/// Number of ticks in a heartbeat.
pub const TICKS_PER_HEARTBEAT: u32 = 8;

/// Number of ticks without a write after which a stream gets a heartbeat. So a stream is silent for at least three
/// quarters of the configured time, and never for longer than that time.
pub const SILENT_TICKS: u32 = TICKS_PER_HEARTBEAT - 1;

/// The moment at which a stream is checked.
pub struct CheckTime {
    /// Monotonic time.
    pub instant: Instant,
    /// Wall clock time, by which login sessions expire.
    pub timestamp: Timestamp,
    /// The reactor's current tick.
    pub tick: u32,
}
