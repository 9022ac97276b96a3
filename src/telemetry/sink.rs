//! Writes log lines to standard error without blocking the threads that log.
//!
//! A separate thread writes. It drops and counts a line that cannot be written. A line that comes while too many
//! others wait is also dropped and counted. So if standard error is closed, or its reader stops, or the disk is full,
//! the gateway only loses log lines.
//!
//! The crate `tracing-appender` is not used because it does not count failed writes, and because its
//! guard calls `println!`, which panics if standard output is closed.

use std::{
    io::{self, Write},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    thread,
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// Limit of the waiting lines in bytes. Enough for a burst of about 20,000 lines.
const MAX_BUFFERED: usize = 4 << 20;

/// Longest wait for the last lines at the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Number of dropped lines. Static because a process has one log, even if it runs several gateways.
static DROPPED: LazyLock<Counter> = LazyLock::new(Counter::default);

/// The counter of lines that this process has dropped, to register as a metric.
pub(super) fn dropped() -> Counter {
    DROPPED.clone()
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// The sending half, shared by all threads that log.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    messages: Sender<Message>,
    waiting: Arc<AtomicUsize>,
}

impl Sink {
    /// Starts the thread that writes to `out`.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (messages, inbox) = mpsc::channel();
        let waiting = Arc::<AtomicUsize>::default();
        let writer =
            Writer { out, inbox, waiting: Arc::clone(&waiting), works: true, is_torn: false };
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.run())?;
        Ok(Self { messages, waiting })
    }

    /// Waits until all lines logged before the call are written, for at most [`FLUSH_TIMEOUT`].
    pub(super) fn flush(&self) {
        let (done, written) = mpsc::sync_channel(1);
        if self.messages.send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_TIMEOUT);
        }
    }

    fn push(&self, line: &[u8]) {
        let before = self.waiting.fetch_add(line.len(), Ordering::Relaxed);
        if before + line.len() <= MAX_BUFFERED
            && self.messages.send(Message::Line(line.into())).is_ok()
        {
            return;
        }
        self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
        DROPPED.inc();
    }
}

/// `tracing-subscriber` passes one whole line at a time.
impl Write for &Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// State of the thread that writes the lines.
struct Writer<W> {
    out: W,
    inbox: Receiver<Message>,
    waiting: Arc<AtomicUsize>,
    /// Whether the last attempt to write a line succeeded.
    works: bool,
    /// Whether the output ends with an incomplete line.
    is_torn: bool,
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        let mut reported = DROPPED.get();
        loop {
            let message = self.inbox.try_recv().or_else(|_| {
                // No line waits, so this line is not dropped for lack of space.
                let dropped = DROPPED.get();
                if self.works && dropped > reported {
                    let lines = dropped - reported;
                    tracing::warn!(
                        lines,
                        "log lines were dropped: standard error was closed, full or too slow"
                    );
                    reported = dropped;
                }
                self.inbox.recv()
            });
            match message {
                Ok(Message::Line(line)) => {
                    self.works = self.write(&line).is_ok();
                    if !self.works {
                        DROPPED.inc();
                    }
                    self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
                }
                // The caller may have stopped waiting, which is not an error.
                Ok(Message::Flush(done)) => drop(done.send(())),
                Err(_) => return,
            }
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.write_part(b"\n")?;
            self.is_torn = false;
        }
        self.write_part(line)
    }

    fn write_part(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let whole = bytes.len();
        while !bytes.is_empty() {
            match self.out.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.is_torn |= bytes.len() < whole;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// A disk with limited free space.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Disk {
        fn free_bytes(&self, bytes: usize) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).1 += bytes;
        }

        fn text(&self) -> String {
            let disk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8(disk.0.clone()).expect("UTF-8")
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = bytes.len().min(disk.1 - disk.0.len());
            disk.0.extend_from_slice(&bytes[..taken]);
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_after_a_torn_one_starts_at_the_beginning() {
        let disk = Disk::default();
        disk.free_bytes(8);
        let sink = Sink::start(disk.clone()).expect("a thread");
        let before = DROPPED.get();
        for line in ["first\n", "second\n", "third\n"] {
            sink.push(line.as_bytes());
        }
        sink.flush();
        assert_eq!((disk.text().as_str(), DROPPED.get() - before), ("first\nse", 2));
        disk.free_bytes(100);
        sink.push(b"fourth\n");
        sink.flush();
        assert_eq!((disk.text().as_str(), DROPPED.get() - before), ("first\nse\nfourth\n", 2));
        assert_eq!(sink.waiting.load(Ordering::Relaxed), 0);
    }
}
