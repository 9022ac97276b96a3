//! Sending to sockets by their numbers: one by one, or many in one system call with io_uring.
//!
//! The kernel's send is most of the cost of a delivery. Fetching from memory the stream that owns
//! the socket adds a fifth to that, and a system call for each socket adds some more
//! (`benches/README.md`). So this is the one file with `unsafe`: the kernel gets pointers, and the
//! compiler cannot check that the memory behind them stays valid. It does: both functions borrow
//! the bytes and do not return before the kernel is done with them. A number that is no longer a
//! socket of ours would be a fault, but not one of memory. `shard.rs` holds the owner of each
//! socket.

#![expect(unsafe_code, reason = "pointers handed to the kernel, see above")]

use std::{
    io,
    os::fd::{BorrowedFd, RawFd},
};

use io_uring::{IoUring, opcode::Send, types::Fd};
use rustix::net::SendFlags;

/// Most sends in one call.
pub const BATCH: usize = 128;

const ENTRIES: u32 = 128;

/// Without waiting when the socket is full, and without a signal when it is closed.
const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Sends what the socket takes, and returns how many bytes that was.
pub fn send(socket: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: its owner keeps it open, see above.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    Ok(rustix::net::send(socket, bytes, FLAGS)?)
}

/// An io_uring queue.
pub struct Sender {
    /// None once the kernel has reported a failure.
    ring: Option<IoUring>,
}

impl Sender {
    /// A queue. Fails where the kernel is too old or forbids it.
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

    /// Whether it has not failed.
    pub fn works(&self) -> bool {
        self.ring.is_some()
    }

    /// Sends the same bytes to each of at most [`BATCH`] sockets. Returns the results in the same
    /// order: how many bytes were taken, an error, or None if the send was not tried.
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
            // SAFETY: `bytes` outlive this call. It returns after every entry has completed, or
            // when the kernel reports a failure. Entries that it has not taken then vanish with the
            // queue. An entry that it has taken is done with the bytes, for `MSG_DONTWAIT` has it
            // copy them or give up at once.
            if unsafe { ring.submission().push(&entry) }.is_err() {
                break;
            }
            results.push(None);
        }
        let mut missing = results.len();
        while missing > 0 {
            let handed_over = ring.submit_and_wait(missing);
            // Even after an error: what was sent must not be sent again.
            for done in ring.completion() {
                let result = match done.result() {
                    taken @ 0.. => Ok(usize::try_from(taken).unwrap_or_default()),
                    error => Err(io::Error::from_raw_os_error(-error)),
                };
                let index = usize::try_from(done.user_data()).unwrap_or(usize::MAX);
                if let Some(answer) = results.get_mut(index) {
                    *answer = Some(result);
                }
                missing -= 1;
            }
            if let Err(error) = handed_over
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "io_uring has failed; using send instead");
                return results;
            }
        }
        self.ring = Some(ring);
        results
    }
}
