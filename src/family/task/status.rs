//! The statuses of a task and the transitions between them.

use entity::task::Status::{self, Cancelled, Completed, Failed, Pending, Running};

/// Whether a task may change from one status to the other. Every change of a task's status is checked here.
pub(super) fn is_transition(from: Status, to: Status) -> bool {
    matches!(
        (from, to),
        (Pending, Running | Cancelled) | (Running, Pending | Completed | Failed | Cancelled)
    )
}

/// Whether a task with this status has ended.
pub(super) fn is_terminal(status: Status) -> bool {
    matches!(status, Completed | Failed | Cancelled)
}

/// The statuses of tasks that have not ended.
pub(super) const UNFINISHED: [Status; 2] = [Pending, Running];

#[cfg(test)]
mod tests {
    use sea_orm::Iterable;

    use super::*;

    #[test]
    fn task_changes_only_by_transitions_and_never_after_its_end() {
        for (from, to) in [
            (Pending, vec![Running, Cancelled]),
            (Running, vec![Pending, Completed, Failed, Cancelled]),
            (Completed, vec![]),
            (Failed, vec![]),
            (Cancelled, vec![]),
        ] {
            let allowed: Vec<_> = Status::iter().filter(|to| is_transition(from, *to)).collect();
            assert_eq!(allowed, to, "from {from:?}");
            assert_eq!(allowed.is_empty(), is_terminal(from), "{from:?}");
        }
    }
}
