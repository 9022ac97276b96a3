//! Sending to a socket by its number: one by one, or many in one call of the kernel by io_uring.
//!
//! What a delivery costs is the kernel's send. Fetching from memory the stream that owns the socket
//! adds a fifth to that, and a system call for each some more (`benches/README.md`). So this is the
//! one file with `unsafe`: the kernel is given pointers, and nobody but us can promise that what
//! they point to stays. It does: both ways borrow the bytes and do not return before the kernel is
//! done with them. A number that is no longer a socket of ours would be a fault, though not one of
//! memory; `audience.rs` holds the owner of each.

#![expect(unsafe_code, reason = "pointers handed to the kernel, see above")]

use std::{
    io,
    os::fd::{BorrowedFd, RawFd},
};

use io_uring::{IoUring, opcode::Send, types::Fd};
use rustix::net::SendFlags;

/// Sends in one call.
pub(super) const BATCH: usize = 128;

const ENTRIES: u32 = 128;

/// Without waiting for room in the socket, and without a signal where it is closed.
const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Sends what the socket takes, and tells how much that was.
pub(super) fn send(socket: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: its owner keeps it open, see above.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    Ok(rustix::net::send(socket, bytes, FLAGS)?)
}

/// A queue to the kernel.
pub(super) struct Sender {
    /// Gone once the kernel has failed us.
    ring: Option<IoUring>,
}

impl Sender {
    /// Fails where the kernel is too old or does not let us.
    pub(super) fn new() -> io::Result<Self> {
        // Linux 6.0 can make use of there being one thread only.
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

    /// Whether it still works.
    pub(super) fn works(&self) -> bool {
        self.ring.is_some()
    }

    /// Sends the same to each of at most [`BATCH`] sockets, and tells in the same order what came of
    /// it: how many bytes were taken, an error, or nothing where it was not tried.
    pub(super) fn send(
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
            // SAFETY: `bytes` outlive this call. It returns after every entry has completed, or when
            // the kernel refuses to go on: entries that it has not taken then vanish with the queue,
            // and one that it has taken is done with the bytes, for `MSG_DONTWAIT` has it copy them
            // or give up at once.
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
                let place = usize::try_from(done.user_data()).unwrap_or(usize::MAX);
                if let Some(place) = results.get_mut(place) {
                    *place = Some(result);
                }
                missing -= 1;
            }
            if let Err(error) = handed_over
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "io_uring has failed; going on without it");
                return results;
            }
        }
        self.ring = Some(ring);
        results
    }
}
