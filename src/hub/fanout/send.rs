//! Sends to sockets by their file descriptors: one by one, or many in one system call with io_uring.
//!
//! The kernel's send is most of the cost of a delivery. Loading the stream that owns the socket from memory adds a
//! fifth to that cost. A system call for each socket adds more (`benches/README.md`).
//!
//! So this is the only file with `unsafe`. The kernel gets pointers, and the compiler cannot check that the memory
//! behind them stays valid. The memory does stay valid: both functions borrow the bytes, and return only when the
//! kernel no longer uses them. A descriptor that is not an open socket would cause an error, but no invalid access to
//! memory. `shard.rs` holds the owner of each socket, which keeps the descriptor open.

#![expect(unsafe_code, reason = "the kernel gets pointers, see above")]

use std::{
    io,
    os::fd::{BorrowedFd, RawFd},
};

use io_uring::{IoUring, opcode::Send, types::Fd};
use rustix::net::SendFlags;

/// Maximum number of sends in one call.
pub const BATCH: usize = 128;

const ENTRIES: u32 = 128;

/// The call does not wait if the socket is full, and raises no signal if the socket is closed.
const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Sends as many bytes as the socket accepts, and returns their number.
pub fn send(socket: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the owner of the socket keeps it open, see above.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    Ok(rustix::net::send(socket, bytes, FLAGS)?)
}

/// An io_uring queue.
pub struct Sender {
    /// `None` after the kernel has reported a failure.
    ring: Option<IoUring>,
}

impl Sender {
    /// Creates a queue. Fails if the kernel is too old or forbids io_uring.
    pub fn new() -> io::Result<Self> {
        // Linux 6.0 is faster if it knows that only one thread uses the queue.
        let ring = IoUring::builder()
            .setup_single_issuer()
            .build(ENTRIES)
            .or_else(|_| IoUring::new(ENTRIES))?;
        let mut probe = io_uring::Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(Send::CODE) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self { ring: Some(ring) })
    }

    /// Whether the queue still works.
    pub fn is_working(&self) -> bool {
        self.ring.is_some()
    }

    /// Sends the same bytes to each of at most [`BATCH`] sockets. Returns the results in the same order. A result is
    /// the number of bytes that the socket accepted, an error, or `None` if the send was not tried. If the queue no
    /// longer works, there are no results.
    pub fn send(
        &mut self,
        sockets: impl Iterator<Item = RawFd>,
        bytes: &[u8],
    ) -> Vec<Option<io::Result<usize>>> {
        let mut results = Vec::with_capacity(BATCH);
        let Some(mut ring) = self.ring.take() else { return results };
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        for (index, socket) in sockets.take(BATCH).enumerate() {
            let entry = Send::new(Fd(socket), bytes.as_ptr(), length)
                .flags(FLAGS.bits().cast_signed())
                .build()
                .user_data(index as u64);
            // SAFETY: `bytes` outlive this call. It returns after every entry has completed, or when the kernel reports
            // a failure. After a failure, entries that the kernel has not taken are dropped with the queue. An entry
            // that the kernel has taken no longer uses the bytes. With `MSG_DONTWAIT`, the kernel copies them or fails
            // at once.
            if unsafe { ring.submission().push(&entry) }.is_err() {
                break;
            }
            results.push(None);
        }
        let mut missing = results.len();
        while missing > 0 {
            let handed_over = ring.submit_and_wait(missing);
            // Completions are read even after an error, because bytes that were sent must not be sent again.
            for done in ring.completion() {
                let result = match done.result() {
                    taken @ 0.. => Ok(usize::try_from(taken).unwrap_or_default()),
                    error => Err(io::Error::from_raw_os_error(-error)),
                };
                let index = usize::try_from(done.user_data()).unwrap_or(usize::MAX);
                if let Some(slot) = results.get_mut(index) {
                    *slot = Some(result);
                }
                missing -= 1;
            }
            if let Err(error) = handed_over
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "io_uring failed, using send instead");
                return results;
            }
        }
        self.ring = Some(ring);
        results
    }
}
