//! The data directory, and the lock on a SQLite database.
//!
//! Only one process may serve from a SQLite database: two would count slots and quotas separately, and
//! would not see each other's events at once. On PostgreSQL several processes are allowed.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

/// The data directory or the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The directory cannot be created.
    #[error("data_dir: cannot make {}", .path.display())]
    Make {
        /// The directory.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// Another process serves from the same database.
    #[error("{key}: another streamgate ({process}) serves from {}", .place.display())]
    Held {
        /// The key that names the place.
        key: &'static str,
        /// The directory, or the file that `database.url` names.
        place: PathBuf,
        /// `process N`, or `process unknown`.
        process: String,
    },
    /// The lock file cannot be created or locked.
    #[error("cannot lock {}", .path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
}

/// Creates the directory if it is missing. Only its owner may enter it, because it holds the password
/// hashes and the signing keys.
pub fn make(path: &Path) -> Result<(), DataDirError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| DataDirError::Make { path: path.to_owned(), source })
}

/// Lock on a SQLite database, held until it is dropped. The operating system releases it when the
/// process ends, also by SIGKILL. The file stays; without the lock it has no meaning.
#[derive(Debug)]
pub struct DatabaseLock {
    _file: File,
}

impl DatabaseLock {
    /// Locks the file `<database>.lock` in the directory of the database file, which must exist. The
    /// error names `place`, and `key` as the configuration key that it comes from.
    pub fn take(database: &Path, key: &'static str, place: &Path) -> Result<Self, DataDirError> {
        // Symbolic links are followed, so that a database has one lock under all its names.
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
                return Err(failed(io::Error::other("the lock file was replaced meanwhile")));
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
        // Only for the message above: the lock holds even if a full disk takes no id.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

/// Whether this is the file that the path leads to.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (file, there) = (file.metadata()?, fs::symlink_metadata(path)?);
    Ok((file.dev(), file.ino()) == (there.dev(), there.ino()))
}

/// Follows no symbolic link: the target would be overwritten.
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
