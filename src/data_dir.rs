//! The data directory, and the lock that keeps a second process off a SQLite database.
//!
//! Two gateways on one SQLite database would each count slots and quotas for themselves and hear
//! nothing of each other's events. On PostgreSQL several are allowed.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Why a directory or a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The directory cannot be made.
    #[error("data_dir: cannot make {}", .path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process serves from the same database.
    #[error("{key}: another streamgate ({process}) serves from {}", .place.display())]
    Held {
        /// The key that names the place.
        key: &'static str,
        /// The directory, or the file that `database.url` names.
        place: PathBuf,
        /// `process N`, as far as it is known.
        process: String,
    },
    /// The lock file cannot be made or locked.
    #[error("cannot lock {}", .path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Makes the directory if it is missing. It is for its owner only: it has the password hashes and
/// the signing keys.
pub fn make(path: &Path) -> Result<(), DataDirError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| DataDirError::Make { path: path.to_owned(), source })
}

/// Keeps other processes off a SQLite database until it is dropped. The operating system releases it
/// when the process ends, however that happens; the file stays, and means nothing without the lock.
#[derive(Debug)]
pub struct DatabaseLock {
    _file: File,
}

impl DatabaseLock {
    /// Locks `<database>.lock`, in the directory in which the database file is or will be. `key` is
    /// the configuration key that names `place`, for the error.
    pub fn take(database: &Path, key: &'static str, place: &Path) -> Result<Self, DataDirError> {
        let path = lock_path(database);
        let failed = |source| DataDirError::Lock { path: path.clone(), source };
        let mut file = open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = file.read_to_string(&mut text).ok();
                let id = read.and_then(|_| text.trim().parse::<u32>().ok());
                return Err(DataDirError::Held {
                    key,
                    place: place.to_owned(),
                    process: id.map_or("process unknown".to_owned(), |id| format!("process {id}")),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // For people and for the message above; the lock holds without it, on a full disk too.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

/// Beside the file itself, wherever links lead: one database has one lock under all its names.
fn lock_path(database: &Path) -> PathBuf {
    let parent = || {
        let directory = database.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new(".")).canonicalize()?;
        Ok::<_, io::Error>(directory.join(database.file_name().unwrap_or_default()))
    };
    let real = database.canonicalize().or_else(|_| parent());
    let mut path = real.unwrap_or_else(|_| database.to_owned()).into_os_string();
    path.push(".lock");
    path.into()
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    match options.open(path) {
        // Left over, and read-only since.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            options.open(path)
        }
        opened => opened,
    }
}
