//! Opening: what lies at the path, is it ours, and is the index where the messages are.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use hearken_tree::{GroupId, Key, KeyRange};
use redb::{Database, DatabaseError, ReadableTable, StorageError, TableHandle, WriteTransaction};

use super::{
    error::{OpenError, is_full, storage},
    index::{self, GroupTrees},
    recent::Recent,
    schema::{
        CONTENT, FORMAT_VERSION, GROUPS, GroupRow, IDS, KEYS, MESSAGES, META, PAGES, REFUSED, TOPICS, Topics, meta,
        refused_key, refused_message,
    },
    state::{State, Trees},
    store::Store,
    version::{Context, Version},
};
use crate::{
    AdmitError,
    ledger::{Changes, Totals},
    predicate::Predicate,
};

/// What every redb file starts with (redb's docs/design.md, "Super-header").
const REDB_MAGIC: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// Looks at the file before the database does, to tell a foreign one from a damaged one, and makes it if there is none.
pub(super) fn find_or_create(path: &Path) -> Result<(), OpenError> {
    let failed = |error| io_error(path, error);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return create(path),
        Err(error) => return Err(failed(error)),
    };
    let mut start = Vec::new();
    file.by_ref().take(REDB_MAGIC.len() as u64).read_to_end(&mut start).map_err(failed)?;
    if start.is_empty() || start == REDB_MAGIC {
        return Ok(());
    }
    let path = path.to_owned();
    if REDB_MAGIC.starts_with(&start) {
        return Err(OpenError::Corrupt { path, found: format!("it ends after {} bytes", start.len()) });
    }
    if start.iter().all(|byte| *byte == 0) {
        return Err(OpenError::Corrupt { path, found: "it starts with zeros".to_owned() });
    }
    Err(OpenError::Foreign { path, found: format!("it starts with the bytes {start:02x?}") })
}

/// Makes an empty database at `path`: under another name first, so that a kill leaves a whole one or none.
fn create(path: &Path) -> Result<(), OpenError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let made = match Database::create(&new) {
        // A kill left it half made.
        Err(DatabaseError::Storage(_)) if new.is_file() => {
            fs::remove_file(&new).map_err(DatabaseError::from).and_then(|()| Database::create(&new))
        }
        made => made,
    };
    let made = made.map_err(|error| database_error(path, error))?;
    // While its lock is held: of two that make one, one sees that it is already open. A link replaces nothing.
    let named = match fs::hard_link(&new, path) {
        Ok(()) => fs::remove_file(&new),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::remove_file(&new),
        // Some file systems have no links.
        Err(_) => fs::rename(&new, path),
    };
    let named = named.and_then(|()| sync_folder(path));
    drop(made);
    named.map_err(|error| io_error(path, error))
}

/// Makes the folder's entry of `path` durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or(PathBuf::from("."), Path::to_owned);
    File::open(folder)?.sync_all()
}

/// Says what a failure of the system means for the user.
pub(super) fn io_error(path: &Path, source: io::Error) -> OpenError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => OpenError::Permission { path, source },
        _ if is_full(&source) => OpenError::DiskFull { path, source },
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => OpenError::NoFolder { path },
        io::ErrorKind::IsADirectory => OpenError::Foreign { path, found: "it is a folder".to_owned() },
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
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
        redb::Error::UpgradeRequired(version) => OpenError::Storage {
            path: path_buf,
            source: format!("the file was made by a database of version {version}, too old to be read").into(),
        },
        other => OpenError::Storage { path: path_buf, source: Box::new(other) },
    }
}

/// Whether the tables are an archive's, of a version that this program reads; makes those of an empty file.
pub(super) fn check_version(store: &Store) -> Result<(), OpenError> {
    let failed = |error: redb::Error| database_error(store.path(), error);
    let path = store.path().to_owned();
    let txn = store.write().map_err(failed)?;
    match read_version(&txn).map_err(failed)? {
        Ok(Some(FORMAT_VERSION)) => txn.abort().map_err(|error| failed(error.into())),
        Ok(None) => {
            make_tables(&txn).map_err(failed)?;
            txn.commit().map_err(|error| failed(error.into()))
        }
        Ok(Some(found)) if found > FORMAT_VERSION => Err(OpenError::Newer { path, found, expected: FORMAT_VERSION }),
        // No release ever wrote an older one; the first that has to be read will be upgraded here, in one transaction.
        Ok(Some(found)) => Err(OpenError::Older { path, found, expected: FORMAT_VERSION }),
        Err(tables) => {
            let found = format!("it is the redb database of another program, with tables {}", tables.join(", "));
            Err(OpenError::Foreign { path, found })
        }
    }
}

/// The version of the archive; `None` for an empty file; the tables of a foreign one.
fn read_version(txn: &WriteTransaction) -> Result<Result<Option<u64>, Vec<String>>, redb::Error> {
    let names: Vec<String> = txn.list_tables()?.map(|table| table.name().to_owned()).collect();
    if names.is_empty() {
        return Ok(Ok(None));
    }
    if !names.iter().any(|name| name == META.name()) {
        return Ok(Err(names));
    }
    let version = txn.open_table(META)?.get(meta::FORMAT)?.map(|version| version.value());
    Ok(version.map(Some).ok_or(names))
}

fn make_tables(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(META)?.insert(meta::FORMAT, FORMAT_VERSION)?;
    txn.open_table(MESSAGES)?;
    txn.open_table(KEYS)?;
    txn.open_table(IDS)?;
    txn.open_table(REFUSED)?;
    txn.open_table(TOPICS)?;
    txn.open_table(PAGES)?;
    txn.open_table(GROUPS)?;
    Ok(())
}

/// Brings counters and index to the groups that are wanted, and reads them.
pub(super) fn settle(
    store: &Store,
    predicate: Predicate,
    max_bytes: Option<u64>,
    cache: usize,
    at_once: usize,
) -> Result<(State, Trees), OpenError> {
    let failed = |error: redb::Error| database_error(store.path(), error);
    let txn = store.write().map_err(failed)?;
    // Older files of this version lack it: it follows from its beginning.
    drop(txn.open_table(CONTENT).map_err(|error| failed(error.into()))?);
    settle_floor(&txn, max_bytes).map_err(failed)?;
    let topics = settle_topics(&txn, &predicate).map_err(failed)?.ok_or(OpenError::TooManyTopics)?;
    drop_groups(&txn, &predicate).map_err(failed)?;
    txn.commit().map_err(|error| failed(error.into()))?;
    load(store, &Arc::new(Context::new(predicate, topics)), cache, at_once).map_err(|error| match error {
        AdmitError::Storage(source) => match source.downcast::<redb::Error>() {
            Ok(error) => failed(*error),
            Err(source) => OpenError::Storage { path: store.path().to_owned(), source },
        },
        other => OpenError::Storage { path: store.path().to_owned(), source: Box::new(other) },
    })
}

/// Reads what was committed last, and fills groups whose index is not there or cannot be used, `at_once` keys at a time.
pub(super) fn load(
    store: &Store,
    context: &Arc<Context>,
    cache: usize,
    at_once: usize,
) -> Result<(State, Trees), AdmitError> {
    let (mut state, mut trees, sound) = read(store, context, cache).map_err(storage)?;
    if !sound.iter().all(|sound| *sound) {
        return load_written(store, context, cache, at_once);
    }
    state.catch_up(&mut trees, &sound)?;
    Ok((state, trees))
}

/// The same with all that waits written into the index. One that cannot follow is filled anew.
pub(super) fn load_written(
    store: &Store,
    context: &Arc<Context>,
    cache: usize,
    at_once: usize,
) -> Result<(State, Trees), AdmitError> {
    let mut damaged = BTreeSet::new();
    loop {
        let (mut state, mut trees, mut sound) = read(store, context, cache).map_err(storage)?;
        sound.iter_mut().enumerate().for_each(|(place, sound)| *sound &= !damaged.contains(&place));
        state.catch_up(&mut trees, &sound)?;
        state.clear(&mut trees, store, &sound)?;
        let trees = Mutex::new(trees);
        let mut found = Vec::new();
        for place in 0..sound.len() {
            match state.settle(&trees, place, store, &|_| {}) {
                Err(AdmitError::Index(damage)) => found.push((place, damage)),
                settled => settled?,
            }
        }
        if found.is_empty() {
            state.write_backlog(&trees, store, &|_| {})?;
            let mut trees = trees.into_inner().unwrap_or_else(PoisonError::into_inner);
            fill(store, &mut state, &mut trees, &sound, at_once)?;
            return Ok((state, trees));
        }
        for (place, damage) in found {
            tracing::error!(%damage, "an index is damaged beyond single pages: rebuilding it from the messages");
            damaged.insert(place);
        }
    }
}

/// What was committed last, and which groups have an index that follows.
fn read(store: &Store, context: &Arc<Context>, cache: usize) -> Result<(State, Trees, Vec<bool>), redb::Error> {
    let txn = store.read()?;
    let meta = txn.open_table(META)?;
    let groups = txn.open_table(GROUPS)?;
    let mut totals = read_totals(&meta)?;
    let indexed = meta.get(meta::INDEXED)?.map_or(0, |value| value.value());
    let version = Arc::new(Version::new(&txn, context.clone())?);
    let (mut trees, mut sound) = (Trees::new(), Vec::new());
    let cache = cache / context.predicate.filters().len().max(1);
    for (group, _) in context.predicate.filters() {
        let row = groups.get(&group.0)?.map(|row| GroupRow::read(row.value())).transpose()?;
        let row = row.filter(|row| row.applied == indexed);
        totals.refused.push(row.as_ref().map_or(0, |row| row.refused));
        sound.push(row.is_some());
        let empty = || {
            let kept = index::empty_root().map_err(|error| redb::Error::Corrupted(error.to_string()))?;
            Ok::<_, redb::Error>(GroupRow { applied: 0, refused: 0, kept, held: None })
        };
        trees.push(GroupTrees::open(*group, &row.map_or_else(empty, Ok)?, &version, cache));
    }
    let content = meta.get(meta::CONTENT)?.map_or(0, |value| value.value());
    let state = State { totals, indexed, recent: Recent::default(), content, version, context: context.clone() };
    Ok((state, trees, sound))
}

fn read_totals(table: &impl ReadableTable<&'static str, u64>) -> Result<Totals, redb::Error> {
    let read = |name: &str| -> Result<u64, redb::Error> { Ok(table.get(name)?.map_or(0, |value| value.value())) };
    Ok(Totals {
        sequence: read(meta::SEQUENCE)?,
        messages: read(meta::MESSAGES)?,
        bytes: read(meta::BYTES)?,
        floor: read(meta::FLOOR)?,
        refused: Vec::new(),
    })
}

/// The floor holds for the size it was raised for: a larger archive may be filled again.
fn settle_floor(txn: &WriteTransaction, max_bytes: Option<u64>) -> Result<(), redb::Error> {
    let mut table = txn.open_table(META)?;
    let size = max_bytes.unwrap_or(0);
    if table.get(meta::MAX_BYTES)?.map_or(0, |value| value.value()) != size {
        table.insert(meta::MAX_BYTES, size)?;
        table.insert(meta::FLOOR, 0)?;
    }
    Ok(())
}

/// Reads the topics and numbers those that are new; `None` if there are too many.
fn settle_topics(txn: &WriteTransaction, predicate: &Predicate) -> Result<Option<Topics>, redb::Error> {
    let mut table = txn.open_table(TOPICS)?;
    let mut rows = BTreeMap::new();
    for row in table.iter()? {
        let (number, name) = row?;
        rows.insert(number.value(), name.value().into());
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

/// Drops what belongs to groups that are not kept any more.
fn drop_groups(txn: &WriteTransaction, predicate: &Predicate) -> Result<(), redb::Error> {
    let mut groups = txn.open_table(GROUPS)?;
    let known: Vec<GroupId> =
        groups.iter()?.map(|row| Ok(GroupId(*row?.0.value()))).collect::<Result<_, StorageError>>()?;
    for gone in known.iter().filter(|group| predicate.place(group).is_none()) {
        let (start, end) = (refused_key(gone, &Key::MIN), refused_key(gone, &Key::MAX));
        txn.open_table(REFUSED)?.retain_in::<&[u8; 56], _>(&start..=&end, |_, _| false)?;
        index::clear(txn, gone)?;
        groups.remove(&gone.0)?;
    }
    Ok(())
}

/// Fills the groups that are not `sound`, which are empty, from the stored messages, which are all entered, `at_once` keys of each in a
/// transaction. Their rows come last: until then, they count as not filled.
fn fill(store: &Store, state: &mut State, trees: &mut Trees, sound: &[bool], at_once: usize) -> Result<(), AdmitError> {
    if sound.iter().all(|sound| *sound) {
        return Ok(());
    }
    let mut keys = vec![Vec::new(); trees.len()];
    let context = state.context.clone();
    let version = state.version.clone();
    for row in version.keys(&KeyRange::ALL).map_err(storage)? {
        let (key, sequence) = row.map_err(storage)?;
        let key = Key::from_bytes(*key.value());
        let row = version.row(sequence.value()).map_err(storage)?;
        let Some((_, topic, content_topic)) = row.as_ref().and_then(|row| context.read_row(&key, row.value())) else {
            tracing::error!(?key, "a stored message is not what was stored: left out; check the archive");
            continue;
        };
        for place in
            context.predicate.admitting(topic, &content_topic).filter(|place| sound.get(*place) == Some(&false))
        {
            if let Some(keys) = keys.get_mut(place) {
                keys.push(key);
            }
        }
        if keys.iter().any(|keys| keys.len() >= at_once) {
            fill_some(store, state, trees, &mut keys, None)?;
        }
    }
    fill_some(store, state, trees, &mut keys, Some(sound))
}

/// The keys that a group refused.
fn refused_keys(txn: &WriteTransaction, group: &GroupId) -> Result<Vec<Key>, redb::Error> {
    let (start, end) = (refused_key(group, &Key::MIN), refused_key(group, &Key::MAX));
    let table = txn.open_table(REFUSED)?;
    let rows = table.range::<&[u8; 56]>(&start..=&end)?;
    rows.map(|row| Ok(refused_message(row?.0.value()))).collect()
}

/// Enters these keys in one transaction. `last`: with what was refused, and which groups are filled by that.
fn fill_some(
    store: &Store,
    state: &mut State,
    trees: &mut Trees,
    keys: &mut [Vec<Key>],
    last: Option<&[bool]>,
) -> Result<(), AdmitError> {
    let txn = store.write().map_err(storage)?;
    for (place, (index, keys)) in trees.iter_mut().zip(keys).enumerate() {
        let mut changes = Changes { stored: std::mem::take(keys), ..Changes::default() };
        let unsound = last.is_some_and(|sound| sound.get(place) == Some(&false));
        if unsound {
            changes.refused = refused_keys(&txn, &index.group()).map_err(storage)?;
            index.fill();
        }
        let refused = changes.refused.len() as u64;
        if !changes.is_empty() {
            index.apply(&changes, refused, &state.version)?;
        }
        index.flush(&txn)?;
        if unsound {
            index.write_row(&txn, state.indexed, refused).map_err(storage)?;
            if let Some(total) = state.totals.refused.get_mut(place) {
                *total = refused;
            }
        }
    }
    txn.commit().map_err(storage)?;
    state.committed(trees, store).map_err(storage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_system_say_what_to_do() {
        let said = |kind: io::ErrorKind| io_error(Path::new("/data/archive.redb"), kind.into());
        assert!(matches!(said(io::ErrorKind::PermissionDenied), OpenError::Permission { .. }));
        assert!(matches!(said(io::ErrorKind::ReadOnlyFilesystem), OpenError::Permission { .. }));
        assert!(matches!(said(io::ErrorKind::StorageFull), OpenError::DiskFull { .. }));
        assert!(matches!(said(io::ErrorKind::QuotaExceeded), OpenError::DiskFull { .. }));
        assert!(matches!(said(io::ErrorKind::UnexpectedEof), OpenError::Corrupt { .. }));
        assert!(matches!(said(io::ErrorKind::NotFound), OpenError::NoFolder { .. }));
        assert!(matches!(said(io::ErrorKind::Other), OpenError::Storage { .. }));
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::StorageFull, io::ErrorKind::Other] {
            assert!(said(kind).to_string().contains("/data/archive.redb"));
        }
    }
}
