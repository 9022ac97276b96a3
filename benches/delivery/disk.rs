//! The latency of the disk alone. A commit cannot be faster, so a high percentile of a write can be the disk's.

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};

use crate::peer::Latency;

/// Bytes of a write: a page of SQLite.
const PAGE: [u8; 4096] = [0; 4096];
/// Interval of the writes.
const INTERVAL: Duration = Duration::from_millis(20);

/// Writes a page and waits until it is on the disk, again and again.
pub(crate) struct Disk {
    writer: JoinHandle<anyhow::Result<Vec<Duration>>>,
    /// Dropped to stop the writer.
    running: Sender<()>,
}

impl Disk {
    /// Starts to write to a file in this directory.
    pub(crate) fn start(directory: &Path) -> anyhow::Result<Self> {
        let mut file = File::create(directory.join("disk"))?;
        let (running, stop) = mpsc::channel();
        let writer = thread::spawn(move || {
            let mut took = Vec::new();
            while stop.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let began = Instant::now();
                file.write_all(&PAGE)?;
                file.sync_data()?;
                took.push(began.elapsed());
            }
            Ok(took)
        });
        Ok(Self { writer, running })
    }

    pub(crate) fn stop(self) -> anyhow::Result<Latency> {
        drop(self.running);
        let mut took = self.writer.join().map_err(|_| anyhow!("the writer has panicked"))??;
        took.sort_unstable();
        let last = took.len().checked_sub(1).context("no write")?;
        let seconds = [50, 95, 99].map(|percent| took[last * percent / 100].as_secs_f64());
        Ok(Latency { name: "disk: write and sync of 4 KiB".to_owned(), seconds })
    }
}
