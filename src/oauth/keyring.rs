//! The keys that encrypt tokens in the database.
//!
//! Each file `keys/grants/<id>.key` in the data directory is a key of 32 bytes for AES-256-GCM. Its name is a UUID of
//! version 7, which contains the time of its creation. All keys decrypt. The newest key encrypts, but only a minute after
//! its creation. In this minute, an operator copies a new key to the other gateways.
//!
//! A gateway reads the directory again when it meets a key that it does not know, and with every sweep. The sweep also
//! encrypts old rows with the newest key. After that, the old file can be removed. So a key is replaced without a
//! restart.
//!
//! The id of the row is authenticated too. So tokens cannot be moved to the row of another user.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::aead::{AES_256_GCM, RandomizedNonceKey};
use entity::Timestamp;
use parking_lot::RwLock;
use uuid::Uuid;

use crate::secret;

/// Time from the creation of a key to its first use.
const COPY_TIME: Duration = Duration::from_mins(1);

const KEY_BYTES: usize = 32;

/// The tokens cannot be encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The directory or a file cannot be read or written.
    #[error("cannot read or write the encryption keys in {}", path.display())]
    File {
        /// Path of the directory or the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file is not a key.
    #[error("{} is not a key: it must have 32 bytes, and a UUID of version 7 as its name", path.display())]
    Content {
        /// Path of the file.
        path: PathBuf,
    },
    /// The key of a row is not in the directory.
    #[error("the encryption key {0} is not in the directory keys/grants")]
    UnknownKey(Uuid),
    /// The text was not encrypted with this key for this row.
    #[error("an encrypted value cannot be decrypted")]
    Damaged,
}

/// The keys of a gateway.
pub struct Keyring {
    directory: PathBuf,
    /// Replaced as a whole, when the directory was read again.
    keys: RwLock<BTreeMap<Uuid, RandomizedNonceKey>>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Keyring").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Keyring {
    /// The keys in this data directory. Reads nothing yet.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self { directory: data_dir.join("keys").join("grants"), keys: RwLock::default() }
    }

    /// Reads the keys. Creates the first one if there is none.
    pub fn load(&self) -> Result<(), KeyringError> {
        self.read()?;
        if self.keys.read().is_empty() {
            self.add()?;
            self.read()?;
        }
        Ok(())
    }

    /// Creates a key. It encrypts from a minute after this. Returns its path.
    pub fn add(&self) -> Result<PathBuf, KeyringError> {
        let path = self.directory.join(format!("{}.key", Uuid::now_v7()));
        let failed = |source| KeyringError::File { path: path.clone(), source };
        let mut key = [0; KEY_BYTES];
        aws_lc_rs::rand::fill(&mut key).map_err(|error| failed(io::Error::other(error)))?;
        let create = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
            // A gateway that reads the directory at this moment must not find a part of the key.
            let temporary = path.with_extension("new");
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(&key)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        create().map_err(failed)?;
        Ok(path)
    }

    /// Reads the directory again.
    pub fn read(&self) -> Result<(), KeyringError> {
        let failed = |source| KeyringError::File { path: self.directory.clone(), source };
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let mut keys = BTreeMap::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "key") {
                continue;
            }
            let name = path.file_stem().and_then(|name| name.to_str()?.parse::<Uuid>().ok());
            let bytes = fs::read(&path)
                .map_err(|source| KeyringError::File { path: path.clone(), source })?;
            let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).ok();
            let id = name.filter(|name| name.get_timestamp().is_some());
            let Some((id, key)) = id.zip(key) else { return Err(KeyringError::Content { path }) };
            keys.insert(id, key);
        }
        *self.keys.write() = keys;
        Ok(())
    }

    /// The id of the key that encrypts.
    pub(super) fn active(&self) -> Option<Uuid> {
        let keys = self.keys.read();
        let now = Timestamp::now();
        let is_copied = |id: &&Uuid| {
            let created = id.get_timestamp().map_or((0, 0), |time| time.to_unix());
            let created = Timestamp::from_seconds(i64::try_from(created.0).unwrap_or(i64::MAX));
            created + COPY_TIME <= now
        };
        keys.keys().rev().find(is_copied).or_else(|| keys.keys().next()).copied()
    }

    /// Encrypts a text for a row. The result starts with the id of the key.
    pub(super) fn seal(&self, row: Uuid, text: &str) -> Result<String, KeyringError> {
        let id = self.active().ok_or(KeyringError::UnknownKey(Uuid::nil()))?;
        let keys = self.keys.read();
        let key = keys.get(&id).ok_or(KeyringError::UnknownKey(id))?;
        let sealed = secret::seal(key, row, text).map_err(|_| KeyringError::Damaged)?;
        Ok(format!("{id}.{sealed}"))
    }

    /// Decrypts a text of a row. Reads the directory again if the key is not known.
    pub(super) fn open(&self, row: Uuid, sealed: &str) -> Result<String, KeyringError> {
        let (id, text) = sealed.split_once('.').ok_or(KeyringError::Damaged)?;
        let id = id.parse::<Uuid>().map_err(|_| KeyringError::Damaged)?;
        if !self.keys.read().contains_key(&id) {
            self.read()?;
        }
        let keys = self.keys.read();
        let key = keys.get(&id).ok_or(KeyringError::UnknownKey(id))?;
        secret::open(key, row, text).ok_or(KeyringError::Damaged)
    }
}
