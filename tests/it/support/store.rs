//! The database of one test. The database is removed when its last server has ended.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, Database};
use streamgate::config::Config;
use tempfile::TempDir;
use uuid::Uuid;

/// The database of one test.
#[derive(Clone)]
pub struct Store {
    pub directory: Arc<TempDir>,
    /// On PostgreSQL: the URL of the server, and the name of the test's database.
    pub postgres: Option<(String, String)>,
}

impl Store {
    pub async fn new() -> Self {
        match std::env::var("TEST_DATABASE_URL") {
            Ok(server) => Self::at(server, "").await,
            Err(_) => Self { directory: directory(), postgres: None },
        }
    }

    /// Creates a database on this PostgreSQL server, with these options of `CREATE DATABASE`.
    pub async fn at(server: String, options: &str) -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let connection = Database::connect(&server).await.expect("PostgreSQL");
        let create = format!("CREATE DATABASE {name} {options}");
        connection.execute_unprepared(&create).await.expect("CREATE");
        Self { directory: directory(), postgres: Some((server, name)) }
    }

    /// The name of the test's own database on PostgreSQL.
    pub fn database(&self) -> Option<String> {
        self.postgres.as_ref().map(|(_, name)| name.clone())
    }

    pub fn url(&self) -> Option<String> {
        let (server, name) = self.postgres.as_ref()?;
        let (base, options) = server.split_once('?').unwrap_or((server, ""));
        let (base, _) = base.rsplit_once('/').expect("a database in the URL");
        Some(format!("{base}/{name}?{options}"))
    }

    pub fn config(&self) -> Config {
        let mut config = Config::for_data_dir(self.directory.path());
        config.database.url = self.url();
        config.database.pool_size = 4;
        // The limits must not disturb the tests. A test of a limit sets that limit itself.
        config.limits.requests_per_minute = 100_000;
        config.limits.stream_opens_per_minute = 100_000;
        config.limits.logins_per_minute_per_user = 10_000;
        config.limits.logins_per_minute_per_name = 10_000;
        config.limits.logins_per_minute_per_address = 10_000;
        config.limits.refreshes_per_minute_per_session = 10_000;
        config.limits.public_requests_per_minute_per_address = 100_000;
        config
    }

    pub async fn remove(self) {
        if Arc::strong_count(&self.directory) > 1 {
            return;
        }
        if let Some((server, name)) = &self.postgres {
            let connection = Database::connect(server).await.expect("PostgreSQL");
            let drop = format!("DROP DATABASE {name} WITH (FORCE)");
            connection.execute_unprepared(&drop).await.expect("DROP");
        }
    }
}

fn directory() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().expect("a temporary directory"))
}
