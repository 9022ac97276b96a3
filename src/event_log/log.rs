//! The event log of all topics.

use std::sync::Arc;

use crate::{clock::Clock, database::Database};

/// All topics' logs.
#[derive(Clone, Debug)]
pub struct EventLog {
    pub(super) database: Database,
    pub(super) clock: Arc<Clock>,
}

impl EventLog {
    /// The log in this database. Events are stamped by the time of `clock` that counts.
    #[must_use]
    pub fn new(database: Database, clock: Arc<Clock>) -> Self {
        Self { database, clock }
    }

    /// The database that it shares with the state that events tell of.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }
}
