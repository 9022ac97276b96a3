//! Many sends in one call of the kernel, by way of io_uring.
//!
//! What a delivery costs is the kernel's send; a system call of its own for each adds a tenth to
//! that (`benches/README.md`). This is the one file with `unsafe`: the kernel is given pointers, and
//! nobody but us can promise that what they point to stays. It does: [`Sender::send`] borrows the
//! bytes and does not return before the kernel is done with them.

#![expect(unsafe_code, reason = "pointers handed to the kernel, see above")]

use std::{io, os::fd::RawFd};

use io_uring::{IoUring, opcode::Send, squeue::Flags, types::Fd};

/// Sends in one call.
pub(super) const BATCH: usize = 64;

const ENTRIES: u32 = 64;

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

    /// Sends each of at most [`BATCH`] without waiting for room in its socket, and puts what came of
    /// it, in the same order, into `results`: how many bytes were taken, an error, or nothing where
    /// it was not tried.
    pub(super) fn send<'a>(
        &mut self,
        sends: impl Iterator<Item = (RawFd, &'a [u8])>,
        results: &mut Vec<Option<io::Result<usize>>>,
    ) {
        results.clear();
        let Some(mut ring) = self.ring.take() else { return };
        for (index, (socket, bytes)) in sends.take(BATCH).enumerate() {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let entry = Send::new(Fd(socket), bytes.as_ptr(), length)
                .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
                .build()
                .flags(Flags::empty())
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
                return;
            }
        }
        self.ring = Some(ring);
    }
}
