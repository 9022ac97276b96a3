//! The statuses of a prompt.

use entity::prompt::Status::{self, Processing, Queued};

/// The statuses of prompts that have not ended.
pub(super) const UNFINISHED: [Status; 2] = [Queued, Processing];

/// Whether a prompt with this status has ended.
pub(super) fn is_terminal(status: Status) -> bool {
    !UNFINISHED.contains(&status)
}
