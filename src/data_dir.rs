//! The data directory, and the lock on a SQLite database.
//!
//! Only one process may serve from a SQLite database. Two processes would count slots and quotas separately, and
//! would not see each other's events at once. On PostgreSQL several processes are allowed.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

/// The reason why the data directory or the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The directory cannot be created.
    #[error("data_dir: cannot create {}", .path.display())]
    Create {
        /// Path of the directory.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// Another process serves from the same database.
    #[error("{key}: another streamgate ({process}) already uses {}; stop it first", .place.display())]
    Held {
        /// The configuration key that leads to `place`.
        key: &'static str,
        /// The data directory, or the file in `database.url`.
        place: PathBuf,
        /// `process N`, or `process unknown` if the lock file contains no id.
        process: String,
    },
    /// The lock file cannot be created or locked.
    #[error("cannot lock {}", .path.display())]
    Lock {
        /// Path of the lock file, or of the database if its path cannot be resolved.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
}

/// Creates the directory if it is missing, with mode 0700. Only its owner may enter it, because it contains the
/// password hashes and the signing keys.
pub fn create(path: &Path) -> Result<(), DataDirError> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(|source| DataDirError::Create { path: path.to_owned(), source })
}

/// Lock on a SQLite database, held until this value is dropped. The operating system releases the lock when the process
/// ends, also after SIGKILL. The lock file stays, and does no harm.
#[derive(Debug)]
pub struct DatabaseLock {
    _file: File,
}

impl DatabaseLock {
    /// Locks the file `<database>.lock` in the directory of the database file. The database file must exist. The
    /// error names `place`, and the configuration `key` that leads to it.
    pub fn take(database: &Path, key: &'static str, place: &Path) -> Result<Self, DataDirError> {
        // Symbolic links are resolved, so that a database has only one lock file under all its names.
        let real = database.canonicalize();
        let mut path = real
            .map_err(|source| DataDirError::Lock { path: database.to_owned(), source })?
            .into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let failed = |source| DataDirError::Lock { path: path.clone(), source };
        let mut file = open(&path).map_err(failed)?;
        match file.try_lock() {
            // The file was removed or replaced meanwhile, so a lock on it would stop no other process.
            Ok(()) if !is_at(&file, &path).map_err(failed)? => {
                return Err(failed(io::Error::other(
                    "the lock file was replaced during the start; try again",
                )));
            }
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let filled = file.read_to_string(&mut text).ok();
                let id = filled.and_then(|_| text.trim().parse::<u32>().ok());
                return Err(DataDirError::Held {
                    key,
                    place: place.to_owned(),
                    process: id.map_or("process unknown".to_owned(), |id| format!("process {id}")),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // The id is only for the message above. On a full disk it is missing, and the lock still works.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

/// Whether the path leads to this file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (file, there) = (file.metadata()?, fs::symlink_metadata(path)?);
    Ok((file.dev(), file.ino()) == (there.dev(), there.ino()))
}

/// Opens the lock file. Does not follow a symbolic link, because its target would be overwritten.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    match options.open(path) {
        // A file left over from an earlier process may be read-only.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            options.open(path)
        }
        opened => opened,
    }
}
