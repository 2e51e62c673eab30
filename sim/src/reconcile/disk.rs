//! Trees whose pages lie in a database on disk, as a node's do.

use std::{error::Error, path::Path, sync::Arc};

use hearken_tree::{Key, PageId, PageStore, PageWrite, Tree};
use redb::{Database, ReadOnlyTable, ReadableDatabase as _, TableDefinition};
use tempfile::TempDir;

/// Level, then first key: neighbours in time are neighbours on disk.
type Place = [u8; 1 + Key::LEN];

const PAGES: TableDefinition<&Place, &[u8]> = TableDefinition::new("pages");
/// Bytes that the database keeps in memory for a tree, and the tree for decoded pages: the defaults of a node's archive are
/// as small against ten million keys.
const CACHE: usize = 64 << 20;

/// A folder for trees, removed with it.
pub struct Disk {
    folder: TempDir,
}

struct Pages {
    table: ReadOnlyTable<&'static Place, &'static [u8]>,
    /// Closed when it is dropped, whoever reads from it.
    _database: Database,
}

impl Disk {
    /// A new folder where the system keeps temporary files.
    pub fn new() -> std::io::Result<Disk> {
        Ok(Disk { folder: tempfile::tempdir()? })
    }

    /// Writes the tree's pages into a file of this name and opens it from there, nothing of it in memory.
    pub fn store(&self, name: &str, mut tree: Tree) -> Result<Tree, Box<dyn Error>> {
        let path = self.folder.path().join(name);
        // An earlier run's pages would be found under the same names.
        let _ = std::fs::remove_file(&path);
        let database = open(&path)?;
        let write = database.begin_write()?;
        let mut failed = None;
        let root = {
            let mut pages = write.open_table(PAGES)?;
            tree.flush(&mut |change| {
                let done = match &change {
                    PageWrite::Put(id, bytes) => pages.insert(&place(id), bytes.as_slice()).map(|_| ()),
                    PageWrite::Delete(id) => pages.remove(&place(id)).map(|_| ()),
                };
                failed = failed.take().or(done.err());
            })?
        };
        if let Some(error) = failed {
            return Err(error.into());
        }
        write.commit()?;
        drop((tree, database));
        let database = open(&path)?;
        let table = database.begin_read()?.open_table(PAGES)?;
        Ok(Tree::open(Arc::new(Pages { table, _database: database }), root, CACHE))
    }
}

fn open(path: &Path) -> Result<Database, redb::DatabaseError> {
    Database::builder().set_cache_size(CACHE).create(path)
}

fn place(id: &PageId) -> Place {
    let mut place = [id.level; 1 + Key::LEN];
    place[1..].copy_from_slice(id.first.as_bytes());
    place
}

impl PageStore for Pages {
    fn read(&self, id: &PageId) -> Result<Option<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        Ok(self.table.get(&place(id))?.map(|bytes| bytes.value().to_vec()))
    }
}
