//! Captures log lines.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::Value;

/// Captures log lines.
#[derive(Clone, Default)]
pub struct Log(pub Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Captures the log of this thread. The server also runs on this thread.
    pub fn start(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || log.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    /// The captured lines.
    pub fn lines(&self) -> Vec<Value> {
        let log = String::from_utf8(self.0.lock().expect("no panic").clone()).expect("UTF-8");
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
