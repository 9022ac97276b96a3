//! The events that a ring takes, and the cursors that it knows.

use bytes::Bytes;

use super::*;

fn at(seq: i64) -> Cursor {
    Cursor { epoch: 1, seq, nonce: 7 }
}

fn position(history: u32, seq: i64) -> Position {
    Position { history, seq }
}

fn frame(seq: i64, prior_nonce: i32, nonce: i32) -> Frame {
    Frame { seq, nonce, prior_nonce, bytes: Bytes::from_static(b"x"), terminal: seq == 8 }
}

/// A ring that began at 5 and holds 7 and 8.
fn ring() -> Ring {
    let mut ring = Ring::new(2);
    assert!(ring.begin(0, at(5), false, StaleCursor::UnknownCursor));
    for seq in 6..=8 {
        ring.push(1, frame(seq, 7, 7));
    }
    assert!(!ring.has_gap());
    ring
}

#[test]
fn only_a_position_once_in_the_ring_is_passed() {
    let ring = ring();
    assert_eq!(ring.skip_targets(position(1, 4)), None, "never in it");
    let passed = ring.skip_targets(position(1, 5));
    assert_eq!(passed, Some((at(6), at(7))), "the last one must not be missed");
    assert_eq!(ring.skip_targets(position(1, 6)), None, "still in it");
    assert_eq!(ring.skip_targets(position(2, 5)), None, "another history");
}

#[test]
fn a_ring_finds_events_and_not_numbers() {
    let mut ring = ring();
    for seq in 6..=8 {
        assert_eq!(ring.find(at(seq)), Some(position(1, seq)));
        assert_eq!(ring.find(Cursor { nonce: 6, ..at(seq) }), None, "another event");
        assert_eq!(ring.find(Cursor { epoch: 2, ..at(seq) }), None, "another topic");
    }
    assert_eq!(ring.find(at(5)), None, "too long ago");
    assert_eq!(ring.find(at(9)), None, "not known");
    assert_eq!(ring.accept_cursor(1, at(9)), Some(position(1, 9)));
    assert_eq!(ring.find(at(9)), Some(position(1, 9)));
    assert_eq!(ring.accept_cursor(2, at(9)), None, "another history");
}

#[test]
fn a_frame_of_another_history_is_not_taken() {
    let others = [
        ("instead of a frame", frame(8, 7, 6)),
        ("instead of the event before the first frame", frame(6, 7, 6)),
        ("behind another event", frame(9, 6, 6)),
    ];
    for (what, other) in others {
        let mut ring = ring();
        ring.push(1, other);
        assert!(ring.has_gap(), "{what}");
        assert_eq!(ring.head(), Some(position(1, 8)), "{what}");
    }
    let mut ring = ring();
    ring.push(1, frame(8, 7, 7));
    assert!(!ring.has_gap(), "known");
    // The log had 9; then the log was replaced.
    ring.accept_cursor(1, at(9));
    ring.push(1, frame(9, 7, 6));
    assert!(ring.has_gap());
    assert_eq!(ring.head(), Some(position(1, 8)));
    // A frame that came early and does not belong to the history.
    ring.push(1, frame(10, 6, 6));
    assert!(ring.has_gap());
    ring.push(1, frame(9, 7, 7));
    assert!(ring.has_gap());
    assert_eq!(ring.head(), Some(position(1, 9)));
    assert!(!ring.has_gap(), "it is dropped");
}

#[test]
fn a_new_history_begins_once_and_ends_old_positions() {
    let mut ring = ring();
    assert!(ring.begin(1, at(4), false, StaleCursor::Replaced));
    assert!(!ring.begin(1, at(4), false, StaleCursor::Replaced), "already done");
    assert!(matches!(ring.pull(position(1, 8), 1), Pulled::HistoryReplaced));
    assert!(matches!(ring.pull(position(2, 4), 1), Pulled::Nothing));
    assert_eq!(ring.stale_reason(), StaleCursor::Replaced);
}

#[test]
fn early_frames_are_dropped_with_their_history() {
    let mut ring = ring();
    ring.push(1, frame(12, 7, 7));
    assert!(ring.has_gap());
    assert!(ring.begin(1, at(4), false, StaleCursor::Replaced));
    assert!(ring.has_gap(), "the log may have more");
    assert!(!ring.has_gap(), "once");
}

#[test]
fn a_log_that_lacks_known_events_does_not_agree() {
    let mut ring = ring();
    let before = ring.known();
    assert!(ring.matches_log(before, at(8)));
    for (what, log) in [
        ("shorter", at(7)),
        ("another event", Cursor { nonce: 6, ..at(8) }),
        ("another topic", Cursor { epoch: 2, ..at(8) }),
        ("longer", at(9)),
    ] {
        assert!(!ring.matches_log(before, log), "{what}");
    }
    // A log that was read before may lack an event that came since then.
    ring.push(1, frame(9, 7, 5));
    assert!(ring.matches_log(before, at(8)));
    assert!(!ring.matches_log(ring.known(), at(8)));
}
