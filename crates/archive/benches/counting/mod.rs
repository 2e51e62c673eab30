//! A file that counts what is done to it.
#![allow(dead_code, unreachable_pub)]
use std::{
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use redb::{StorageBackend, backends::FileBackend};

/// Bytes written and syncs.
#[derive(Debug, Default)]
pub struct Counts {
    pub bytes: AtomicU64,
    pub syncs: AtomicU64,
}

/// A file that counts.
#[derive(Debug)]
pub struct Counting {
    file: FileBackend,
    counts: Arc<Counts>,
}

impl Counting {
    /// The file at `path`, made if it is not there.
    pub fn open(path: &Path, counts: &Arc<Counts>) -> std::io::Result<Counting> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let file = FileBackend::new(file).map_err(std::io::Error::other)?;
        Ok(Counting { file, counts: counts.clone() })
    }
}

impl Counts {
    /// Sets them to none; what they were: bytes and syncs.
    pub fn take(&self) -> (u64, u64) {
        (self.bytes.swap(0, Ordering::Relaxed), self.syncs.swap(0, Ordering::Relaxed))
    }
}

impl StorageBackend for Counting {
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.counts.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.file.write(offset, data)
    }
}
