//! The event log of all topics.

use std::sync::Arc;

use crate::{clock::Clock, database::Database};

/// The event log of all topics.
#[derive(Clone, Debug)]
pub struct EventLog {
    pub(super) database: Database,
    pub(super) clock: Arc<Clock>,
}

impl EventLog {
    /// Creates the event log in this database. Events get the time of `clock` ([`Clock::now`]).
    #[must_use]
    pub fn new(database: Database, clock: Arc<Clock>) -> Self {
        Self { database, clock }
    }

    /// The database, which also contains the rows of the families.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }
}
