//! A queue that is limited by bytes. The sender never waits.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::mpsc;

/// The item was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotQueued {
    /// Too many bytes wait already.
    Full,
    /// The receiver is gone.
    Closed,
}

/// The sending side.
#[derive(Debug)]
pub struct Sender<T> {
    items: mpsc::UnboundedSender<(T, usize)>,
    waiting: Arc<AtomicUsize>,
    limit: usize,
}

/// The receiving side.
#[derive(Debug)]
pub struct Receiver<T> {
    items: mpsc::UnboundedReceiver<(T, usize)>,
    waiting: Arc<AtomicUsize>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        let (items, waiting) = (self.items.clone(), Arc::clone(&self.waiting));
        Self { items, waiting, limit: self.limit }
    }
}

/// A queue in which at most `limit` bytes wait.
#[must_use]
pub fn queue<T>(limit: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let sender = Sender { items: sender, waiting: Arc::clone(&waiting), limit };
    (sender, Receiver { items: receiver, waiting })
}

impl<T> Sender<T> {
    /// Queues an item of this size.
    ///
    /// # Errors
    /// [`NotQueued`].
    pub fn send(&self, item: T, bytes: usize) -> Result<(), NotQueued> {
        if self.waiting.fetch_add(bytes, Relaxed) + bytes > self.limit {
            self.waiting.fetch_sub(bytes, Relaxed);
            return Err(NotQueued::Full);
        }
        self.items.send((item, bytes)).map_err(|_| NotQueued::Closed)
    }

    /// Whether the receiver is still there.
    #[must_use]
    pub fn has_receiver(&self) -> bool {
        !self.items.is_closed()
    }

    /// Queues an item whatever is waiting: the last one, or one that is rare.
    ///
    /// # Errors
    /// [`NotQueued::Closed`].
    pub fn send_anyway(&self, item: T) -> Result<(), NotQueued> {
        self.items.send((item, 0)).map_err(|_| NotQueued::Closed)
    }
}

impl<T> Receiver<T> {
    /// The next item. `None` if no sender is left.
    pub async fn next(&mut self) -> Option<T> {
        self.items.recv().await.map(|received| self.taken(received))
    }

    /// The next item, if one is waiting.
    pub fn try_next(&mut self) -> Option<T> {
        self.items.try_recv().ok().map(|received| self.taken(received))
    }

    fn taken(&self, (item, bytes): (T, usize)) -> T {
        self.waiting.fetch_sub(bytes, Relaxed);
        item
    }
}
