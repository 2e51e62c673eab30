//! A node's data folder: its identity and its archive, held by one node at a time.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use hearken::{Stage, Work};
use hearken_archive::{
    Archive, ArchiveOptions, Embedded, EmbeddedOptions, FormatError, Header, Limits, MessageFormat, OpenError,
    ReadError, Validator,
};
use hearken_waku::WakuFormat;
use libp2p::identity::Keypair;

use crate::config::Config;
use crate::identity::{self, IdentityError};

/// The archive's file in the data folder.
pub const ARCHIVE_FILE: &str = "archive.hearken";

/// An open data folder. Nobody else can open it meanwhile.
pub struct DataFolder {
    /// Where it is.
    pub path: PathBuf,
    /// The node's identity.
    pub keypair: Keypair,
    /// Its messages.
    pub archive: Arc<Embedded>,
    /// The host's own check of messages, which the archive asks as well.
    pub validator: Option<Arc<dyn Validator>>,
    /// What its time goes to.
    pub(crate) work: Arc<Work>,
}

/// The data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The folder cannot be made.
    #[error("the data folder {} cannot be created (setting data_dir): {error}", .path.display())]
    Create {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The archive cannot be opened.
    #[error(transparent)]
    Archive(#[from] OpenError),
    /// The identity cannot be read or made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl DataFolder {
    /// Opens the folder that the settings name; makes it if it is not there.
    pub fn open(config: &Config, validator: Option<Arc<dyn Validator>>) -> Result<DataFolder, FolderError> {
        let folder = &config.data_dir;
        fs::create_dir_all(folder).map_err(|error| FolderError::Create { path: folder.clone(), error })?;
        // First, since it keeps a second node out of the folder.
        let work = Arc::new(Work::default());
        let archive = Embedded::open(archive_options(config, validator.clone(), work.clone()))?;
        let keypair = identity::load_or_create(folder)?;
        Ok(DataFolder { path: folder.clone(), keypair, archive: Arc::new(archive), validator, work })
    }
}

/// Reads messages, and counts the time it takes, as if all took as long as those that are timed.
struct Timed {
    work: Arc<Work>,
    read: AtomicU32,
}

/// One message in so many is timed: to look at the clock takes a tenth as long as to read a message.
const TIMED: u32 = 16;

impl MessageFormat for Timed {
    fn header<'a>(&self, pubsub_topic: &str, body: &'a [u8]) -> Result<Header<'a>, FormatError> {
        // The first ones are slower than the others.
        if self.read.fetch_add(1, Ordering::Relaxed) % TIMED != TIMED / 2 {
            return WakuFormat.header(pubsub_topic, body);
        }
        let started = Instant::now();
        let header = WakuFormat.header(pubsub_topic, body);
        self.work.add(Stage::Verify, TIMED * started.elapsed());
        header
    }
}

fn archive_options(config: &Config, validator: Option<Arc<dyn Validator>>, work: Arc<Work>) -> EmbeddedOptions {
    let mut archive = ArchiveOptions::new(config.filters(), Arc::new(Timed { work, read: AtomicU32::new(0) }));
    archive.validator = validator;
    archive.limits = Limits {
        max_size: config.messages.max_size.as_usize(),
        max_future: config.messages.max_future,
        max_age: config.archive.retention.at_most(),
    };
    archive.max_bytes = config.archive.max_bytes.at_most().map(|bytes| bytes.0);
    let mut options = EmbeddedOptions::new(config.data_dir.join(ARCHIVE_FILE), archive);
    options.cache_size = config.archive.cache.as_usize() / 2;
    options.database_cache_size = config.archive.cache.as_usize() / 2;
    options
}

/// How many messages each group holds, with its pubsub topic; a message in two groups counts in both.
pub fn counts(archive: &dyn Archive) -> Result<Vec<(String, u64)>, ReadError> {
    let count =
        |filter: hearken_archive::Filter| Ok((filter.pubsub_topic.clone(), archive.view(&filter.group())?.kept.len()));
    archive.groups().into_iter().map(count).collect()
}
