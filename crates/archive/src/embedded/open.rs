//! Opening: what lies at the path, is it ours, and is the index where the messages are.
use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

use hearken_tree::{GroupId, Key};
use redb::{Builder, Database, ReadableDatabase, ReadableTable, StorageError, TableHandle, WriteTransaction};

use super::{
    error::OpenError,
    schema::{
        FORMAT_VERSION, GROUPS, IDS, MESSAGES, META, MessageRow, REFUSED, TOPICS, Topics, meta, refused_key,
        refused_message,
    },
};
use crate::{
    index::GroupIndex,
    ledger::{Changes, Totals},
    predicate::Predicate,
};

/// What every redb file starts with (redb's docs/design.md, "Super-header").
const REDB_MAGIC: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// Looks at the file before the database does, to tell a foreign one from a damaged one.
pub(super) fn inspect(path: &Path) -> Result<(), OpenError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(path, error)),
    };
    let mut start = Vec::new();
    file.by_ref().take(REDB_MAGIC.len() as u64).read_to_end(&mut start).map_err(|error| io_error(path, error))?;
    if start.is_empty() || start == REDB_MAGIC {
        return Ok(());
    }
    let path = path.to_owned();
    if REDB_MAGIC.starts_with(&start) {
        return Err(OpenError::Corrupt { path, found: format!("it ends after {} bytes", start.len()) });
    }
    Err(OpenError::Foreign { path, found: format!("it starts with the bytes {start:02x?}") })
}

/// Says what a failure of the system means for the user.
pub(super) fn io_error(path: &Path, source: std::io::Error) -> OpenError {
    let path = path.to_owned();
    match source.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::Permission { path, source }
        }
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => OpenError::DiskFull { path, source },
        std::io::ErrorKind::NotFound => OpenError::NoFolder { path },
        std::io::ErrorKind::IsADirectory => OpenError::Foreign { path, found: "it is a folder".to_owned() },
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData => {
            OpenError::Corrupt { path, found: source.to_string() }
        }
        _ => OpenError::Storage { path, source: Box::new(source) },
    }
}

/// Says what a failure of the database means for the user.
pub(super) fn database_error(path: &Path, error: impl Into<redb::Error>) -> OpenError {
    let path_buf = path.to_owned();
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => OpenError::AlreadyOpen { path: path_buf },
        redb::Error::Corrupted(found) => OpenError::Corrupt { path: path_buf, found },
        redb::Error::Io(error) => io_error(path, error),
        redb::Error::TableTypeMismatch { table, .. } => {
            OpenError::Foreign { path: path_buf, found: format!("its table {table} has another form") }
        }
        other => OpenError::Storage { path: path_buf, source: Box::new(other) },
    }
}

/// Opens or creates the database file.
pub(super) fn database(path: &Path, builder: &Builder) -> Result<Database, OpenError> {
    inspect(path)?;
    builder.create(path).map_err(|error| database_error(path, error))
}

/// What the file says, and the index built from it.
pub(super) struct Opened {
    pub(super) totals: Totals,
    pub(super) topics: Topics,
    pub(super) indexes: Vec<GroupIndex>,
}

/// Brings the tables into the form and the groups that are wanted, in one transaction, and builds the index.
pub(super) fn prepare(
    db: &Database,
    path: &Path,
    predicate: &Predicate,
    max_bytes: Option<u64>,
) -> Result<Opened, OpenError> {
    let failed = |error: redb::Error| database_error(path, error);
    let txn = db.begin_write().map_err(|error| failed(error.into()))?;
    check_version(&txn, path)?;
    let totals = settle(&txn, predicate, max_bytes).map_err(failed)?;
    let topics = topics(&txn, predicate).map_err(failed)?.ok_or(OpenError::TooManyTopics)?;
    super::tables::write_totals(&txn, predicate, &totals).map_err(failed)?;
    txn.commit().map_err(|error| failed(error.into()))?;
    let indexes = build(db, path, predicate, &topics)?;
    Ok(Opened { totals, topics, indexes })
}

/// Whether the tables are an archive's, of a version that this program reads.
fn check_version(txn: &WriteTransaction, path: &Path) -> Result<(), OpenError> {
    let failed = |error: redb::Error| database_error(path, error);
    let names: Vec<String> =
        txn.list_tables().map_err(|error| failed(error.into()))?.map(|table| table.name().to_owned()).collect();
    if !names.is_empty() && !names.iter().any(|name| name == META.name()) {
        let found = format!("it is the redb database of another program, with tables {}", names.join(", "));
        return Err(OpenError::Foreign { path: path.to_owned(), found });
    }
    let mut table = txn.open_table(META).map_err(|error| failed(error.into()))?;
    let version = table.get(meta::FORMAT).map_err(|error| failed(error.into()))?.map(|version| version.value());
    match version {
        None => {
            table.insert(meta::FORMAT, FORMAT_VERSION).map_err(|error| failed(error.into()))?;
            Ok(())
        }
        Some(FORMAT_VERSION) => Ok(()),
        Some(found) if found > FORMAT_VERSION => {
            Err(OpenError::Newer { path: path.to_owned(), found, expected: FORMAT_VERSION })
        }
        // There is no older one yet; the first to come upgrades here.
        Some(found) => Err(OpenError::Older { path: path.to_owned(), found, expected: FORMAT_VERSION }),
    }
}

/// Makes every table, reads the counters, and drops what belongs to groups that are not kept any more.
fn settle(txn: &WriteTransaction, predicate: &Predicate, max_bytes: Option<u64>) -> Result<Totals, redb::Error> {
    txn.open_table(MESSAGES)?;
    txn.open_table(IDS)?;
    let mut table = txn.open_table(META)?;
    let read = |name: &str| -> Result<u64, redb::Error> { Ok(table.get(name)?.map_or(0, |value| value.value())) };
    let mut totals = Totals {
        sequence: read(meta::SEQUENCE)?,
        messages: read(meta::MESSAGES)?,
        bytes: read(meta::BYTES)?,
        floor: read(meta::FLOOR)?,
        refused: Vec::new(),
    };
    // The floor holds for the size it was raised for: a larger archive may be filled again.
    let size = max_bytes.unwrap_or(0);
    if read(meta::MAX_BYTES)? != size {
        totals.floor = 0;
        table.insert(meta::MAX_BYTES, size)?;
    }
    let mut groups = txn.open_table(GROUPS)?;
    let mut refused = txn.open_table(REFUSED)?;
    let known: Vec<GroupId> =
        groups.iter()?.map(|row| Ok(GroupId(*row?.0.value()))).collect::<Result<_, StorageError>>()?;
    for gone in known.iter().filter(|group| predicate.place(group).is_none()) {
        let (start, end) = (refused_key(gone, &Key::MIN), refused_key(gone, &Key::MAX));
        refused.retain_in::<&[u8; 56], _>(&start..=&end, |_, _| false)?;
        groups.remove(&gone.0)?;
    }
    for (group, _) in predicate.filters() {
        totals.refused.push(groups.get(&group.0)?.map_or(0, |row| row.value().1));
    }
    Ok(totals)
}

/// Reads the topics and numbers those that are new; `None` if there are too many.
fn topics(txn: &WriteTransaction, predicate: &Predicate) -> Result<Option<Topics>, redb::Error> {
    let mut table = txn.open_table(TOPICS)?;
    let mut rows = BTreeMap::new();
    for row in table.iter()? {
        let (number, name) = row?;
        rows.insert(number.value(), name.value().to_owned());
    }
    let mut topics = Topics::new(rows);
    for (_, filter) in predicate.filters() {
        if topics.number(&filter.pubsub_topic).is_none() {
            let Some(number) = topics.next() else { return Ok(None) };
            table.insert(number, filter.pubsub_topic.as_str())?;
            topics.insert(number, &filter.pubsub_topic);
        }
    }
    Ok(Some(topics))
}

/// Builds the index from the messages.
fn build(db: &Database, path: &Path, predicate: &Predicate, topics: &Topics) -> Result<Vec<GroupIndex>, OpenError> {
    let failed = |error: redb::Error| database_error(path, error);
    let mut changes = vec![Changes::default(); predicate.filters().len()];
    collect(db, predicate, topics, &mut changes).map_err(failed)?;
    changes
        .iter()
        .map(|changes| {
            let mut index = GroupIndex::default();
            let refused = changes.refused.len() as u64;
            index
                .apply(changes, refused)
                .map_err(|error| OpenError::Storage { path: path.to_owned(), source: Box::new(error) })?;
            Ok(index)
        })
        .collect()
}

fn collect(db: &Database, predicate: &Predicate, topics: &Topics, changes: &mut [Changes]) -> Result<(), redb::Error> {
    let txn = db.begin_read()?;
    for row in txn.open_table(MESSAGES)?.iter()? {
        let (key, row) = row?;
        let row = MessageRow::read(row.value()).map_err(|corrupt| redb::Error::Corrupted(corrupt.to_string()))?;
        let topic = topics.name(row.topic).map_err(|corrupt| redb::Error::Corrupted(corrupt.to_string()))?;
        let key = Key::from_bytes(*key.value());
        let content_topic = predicate
            .content_topic(topic, row.body)
            .map_err(|error| redb::Error::Corrupted(format!("message {key:?} cannot be read: {error}")))?;
        for place in predicate.admitting(topic, &content_topic) {
            if let Some(changes) = changes.get_mut(place) {
                changes.stored.push(key);
            }
        }
    }
    let refused = txn.open_table(REFUSED)?;
    for ((group, _), changes) in predicate.filters().iter().zip(changes) {
        let (start, end) = (refused_key(group, &Key::MIN), refused_key(group, &Key::MAX));
        for row in refused.range::<&[u8; 56]>(&start..=&end)? {
            changes.refused.push(refused_message(row?.0.value()));
        }
    }
    Ok(())
}
