use std::path::{Path, PathBuf};

use crate::{AdmitError, ReadError, archive::damaged};

/// The archive could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Something else lies at the path.
    #[error(
        "{} is not a Hearken archive: {found}. Give another path, or move the file away to start with an empty archive",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// The file is cut off or damaged.
    #[error("{}", damaged(path, found))]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// A newer program wrote the file.
    #[error(
        "the archive {} has format version {found}, this program reads up to {expected}: use the newer program that wrote it",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest version this program reads.
        expected: u64,
    },
    /// An older program wrote the file, in a form that cannot be upgraded any more.
    #[error(
        "the archive {} has format version {found}, this program needs {expected}: export it with the program that wrote it \
         and import it here",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The version that is needed.
        expected: u64,
    },
    /// Somebody has it open.
    #[error(
        "the archive {} is already open in this or another process: give each node a data folder of its own, or stop the other",
        path.display()
    )]
    AlreadyOpen {
        /// The file.
        path: PathBuf,
    },
    /// The file must not be read or written.
    #[error("no permission to read and write the archive {}: {source}. Check the owner and mode of the file and its folder", path.display())]
    Permission {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The folder of the file is not there.
    #[error("the folder of the archive {} does not exist: create it", path.display())]
    NoFolder {
        /// The file.
        path: PathBuf,
    },
    /// No space is left.
    #[error("no space is left for the archive {}: {source}. Free some, nothing that was stored is lost", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The archive has seen too many pubsub topics.
    #[error("an archive holds messages of at most {} pubsub topics: use several archives", u16::MAX)]
    TooManyTopics,
    /// The database failed otherwise.
    #[error("opening the archive {} failed: {source}", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A failure of the database while admitting.
pub(super) fn storage(error: impl Into<redb::Error>) -> AdmitError {
    AdmitError::Storage(Box::new(error.into()))
}

/// A failure of the database while reading.
pub(super) fn unreadable(error: impl Into<redb::Error>) -> ReadError {
    ReadError::Storage(Box::new(error.into()))
}

/// A failure to bring the index up to what is stored, for whoever reads it.
pub(super) fn reading(error: AdmitError) -> ReadError {
    match error {
        AdmitError::Storage(source) => ReadError::Storage(source),
        AdmitError::Index(error) => ReadError::Index(error),
        other => ReadError::Storage(Box::new(other)),
    }
}

/// Tells damage and a full disk from other failures, and where the file lies.
pub(super) fn located(error: AdmitError, path: &Path) -> AdmitError {
    let AdmitError::Storage(source) = error else { return error };
    let path = path.to_owned();
    match source.downcast::<redb::Error>().map(|error| *error) {
        Ok(redb::Error::Corrupted(found)) => AdmitError::Corrupt { path, found },
        Ok(redb::Error::Io(source)) if is_full(&source) => AdmitError::DiskFull { path, source },
        Ok(other) => AdmitError::Storage(Box::new(other)),
        Err(other) => AdmitError::Storage(other),
    }
}

/// Whether the system says that there is no room.
pub(super) fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// The same for reading.
pub(super) fn located_read(error: ReadError, path: &Path) -> ReadError {
    let ReadError::Storage(source) = error else { return error };
    match source.downcast::<redb::Error>().map(|error| *error) {
        Ok(redb::Error::Corrupted(found)) => ReadError::Corrupt { path: path.to_owned(), found },
        Ok(other) => ReadError::Storage(Box::new(other)),
        Err(other) => ReadError::Storage(other),
    }
}
