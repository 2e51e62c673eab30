//! The trees of a group, over pages in the file.
use std::{collections::BTreeSet, sync::Arc};

use hearken_tree::{GroupId, Key, PageId, PageWrite, Root, Tree};
use redb::{ReadableTable, Table, WriteTransaction};

use super::{
    error::storage,
    schema::{GROUPS, GroupRow, PAGE_KEY, PAGES, Which, page_key, page_keys, seal_page},
    version::Version,
};
use crate::{AdmitError, View, index::follow, ledger::Changes};

/// Bytes of changed pages that entering one key takes at most, about: where each lies in a page of its own.
const PER_KEY: usize = 12 << 10;
/// Waiting keys that are entered at once at least, however small the cache.
const LEAST: usize = 256;

/// A group's trees as of the last commit, or with changes that are to be committed.
pub(super) struct GroupTrees {
    group: GroupId,
    cache: usize,
    kept: Tree,
    /// Only while something is refused.
    held: Option<Tree>,
    /// Keys of stored messages that the trees lack. They are entered when somebody looks, or when the index is written: many at a
    /// time, in their order, so that keys that lie anywhere change each page once and not once a commit.
    waiting: Vec<Key>,
    /// Memory that changed pages may take at least, by the last look at all of them.
    spare: usize,
    /// Whether the trees hold all they should, but for what waits. Without a row they count as not filled.
    filled: bool,
    /// The roots as of the last flush that was committed.
    durable: Roots,
    /// The roots as of a flush that is to be committed.
    flushed: Option<Roots>,
}

#[derive(Clone, Copy)]
struct Roots {
    kept: Root,
    held: Option<Root>,
}

/// The root of no keys.
pub(super) fn empty_root() -> Result<Root, hearken_tree::PageError> {
    Tree::new().flush(&mut |_| {})
}

impl GroupTrees {
    /// The trees of `row` in `version`, with `cache` bytes for their decoded pages. Reads nothing yet.
    pub(super) fn open(group: GroupId, row: &GroupRow, version: &Arc<Version>, cache: usize) -> GroupTrees {
        let durable = Roots { kept: row.kept, held: row.held };
        let kept = Tree::open(Arc::new(version.pages(group, Which::Kept)), row.kept, cache / 4 * 3);
        let mut trees = GroupTrees {
            group,
            cache,
            kept,
            held: None,
            waiting: Vec::new(),
            spare: 0,
            filled: true,
            durable,
            flushed: None,
        };
        trees.held = row.held.map(|root| Tree::open(Arc::new(version.pages(group, Which::Held)), root, cache / 4));
        trees
    }

    /// Messages with these keys are stored.
    pub(super) fn store(&mut self, keys: &[Key]) {
        self.waiting.extend_from_slice(keys);
    }

    /// Follows what a transaction did but store messages, in memory; `refused` is how many refused keys are remembered after it. What is
    /// deleted or dropped must not wait. After an error the trees have to be opened again.
    pub(super) fn apply(&mut self, changes: &Changes, refused: u64, version: &Arc<Version>) -> Result<(), AdmitError> {
        let refusing = !changes.refused.is_empty() || !changes.deleted.is_empty();
        if refusing && self.held.is_none() {
            // Up to now, what is held was what is kept, page by page.
            let mut held = self.kept.clone();
            held.read_from(Arc::new(version.pages(self.group, Which::Held)));
            self.held = Some(held);
        }
        if refused == 0 {
            self.held = None;
        }
        self.spare = 0;
        follow(&mut self.kept, self.held.as_mut(), changes)?;
        Ok(())
    }

    /// Enters waiting keys until none is left, or the changed pages take too much memory: whether none is left. What failed goes
    /// on waiting.
    pub(super) fn enter(&mut self) -> Result<bool, AdmitError> {
        // The first ones come off the end.
        self.waiting.sort_unstable_by(|one, other| other.cmp(one));
        while !self.waiting.is_empty() {
            // To see what is changed takes a look at each page: so as many at a time as surely fit.
            if self.spare / PER_KEY < self.waiting.len() {
                let Some(room) = self.room() else { return Ok(false) };
                self.spare = room;
            }
            let some = self.waiting.len().min((self.spare / PER_KEY).max(LEAST));
            self.spare = self.spare.saturating_sub(some * PER_KEY);
            let rest = self.waiting.len() - some;
            let stored = self.waiting.iter().skip(rest).rev().copied().collect();
            follow(&mut self.kept, self.held.as_mut(), &Changes { stored, ..Changes::default() })?;
            self.waiting.truncate(rest);
        }
        self.waiting = Vec::new();
        Ok(true)
    }

    /// Writes the changed pages into the transaction.
    pub(super) fn flush(&mut self, txn: &WriteTransaction) -> Result<(), AdmitError> {
        let mut table = txn.open_table(PAGES).map_err(storage)?;
        let mut space = Space { table: &mut table, group: self.group };
        let Some(held) = &mut self.held else {
            if self.durable.held.is_some() {
                let [first, last] = page_keys(&self.group, Which::Held);
                space.table.retain_in::<&[u8; PAGE_KEY], _>(&first..=&last, |_, _| false).map_err(storage)?;
            }
            // Page by page: a batch that is scattered over the set changes most of it.
            let mut written = Ok(());
            let kept = self.kept.flush(&mut |write| {
                if written.is_ok() {
                    written = space.write_kept(write);
                }
            })?;
            written.map_err(storage)?;
            self.flushed = Some(Roots { kept, held: None });
            return Ok(());
        };
        let (mut writes, mut held_writes) = (Vec::new(), Vec::new());
        let kept = self.kept.flush(&mut |write| writes.push(write))?;
        let held = Some(held.flush(&mut |write| held_writes.push(write))?);
        space.preserve(&writes, &held_writes).map_err(storage)?;
        writes.into_iter().try_for_each(|write| space.write_kept(write)).map_err(storage)?;
        held_writes.into_iter().try_for_each(|write| space.write_held(write)).map_err(storage)?;
        self.flushed = Some(Roots { kept, held });
        Ok(())
    }

    /// Writes what has to be known to open the trees again, once they are filled: they follow messages up to the sequence `applied`, and
    /// maybe some later ones.
    pub(super) fn write_row(&self, txn: &WriteTransaction, applied: u64, refused: u64) -> Result<(), redb::Error> {
        if !self.filled {
            return Ok(());
        }
        let Roots { kept, held } = self.flushed.unwrap_or(self.durable);
        let row = GroupRow { applied, refused, kept, held };
        txn.open_table(GROUPS)?.insert(&self.group.0, row.write().as_slice())?;
        Ok(())
    }

    /// How much memory changed pages may take beside those that there are; `None` if these take more than a quarter of the cache.
    fn room(&self) -> Option<usize> {
        let changed = self.kept.unflushed_bytes() + self.held.as_ref().map_or(0, Tree::unflushed_bytes);
        (self.cache / 4).checked_sub(changed)
    }

    /// `version` was committed: from now on all is read from it, and what was flushed is durable.
    pub(super) fn committed(&mut self, version: &Arc<Version>) {
        let flushed = self.flushed.take();
        self.durable = flushed.unwrap_or(self.durable);
        for (tree, which) in [(Some(&mut self.kept), Which::Kept), (self.held.as_mut(), Which::Held)] {
            let pages = Arc::new(version.pages(self.group, which));
            match tree {
                Some(tree) if flushed.is_some() => tree.flushed(pages),
                Some(tree) => tree.read_from(pages),
                None => {}
            }
        }
    }

    /// Forgets all keys: they are to be filled anew.
    pub(super) fn empty(&mut self, version: &Arc<Version>) -> Result<(), AdmitError> {
        let row = GroupRow { applied: 0, refused: 0, kept: empty_root()?, held: None };
        *self = GroupTrees { filled: false, ..GroupTrees::open(self.group, &row, version, self.cache) };
        Ok(())
    }

    /// They hold all that they should.
    pub(super) fn fill(&mut self) {
        self.filled = true;
    }

    /// The trees as they stand; what waits is not in it.
    pub(super) fn view(&self) -> View {
        let kept = self.kept.snapshot();
        let held = self.held.as_ref().map_or_else(|| kept.clone(), Tree::snapshot);
        View { kept, held }
    }

    /// Whose trees they are.
    pub(super) fn group(&self) -> GroupId {
        self.group
    }
}

/// The pages of a group inside a write transaction.
struct Space<'a, 't> {
    table: &'a mut Table<'t, &'static [u8; PAGE_KEY], &'static [u8]>,
    group: GroupId,
}

impl Space<'_, '_> {
    /// Keeps for what is held the pages that change only in what is kept: up to now they served both.
    ///
    /// A page that changes in both needs no copy, so this one is rare: it follows the deletion of a message, which is held on.
    fn preserve(&mut self, kept: &[PageWrite], held: &[PageWrite]) -> Result<(), redb::Error> {
        let touched: BTreeSet<PageId> = held.iter().map(place).collect();
        for id in kept.iter().map(place).filter(|id| !touched.contains(id)) {
            let own = page_key(&self.group, Which::Held, &id);
            if self.table.get(&own)?.is_some() {
                continue;
            }
            let page = self.table.get(&page_key(&self.group, Which::Kept, &id))?.map(|page| page.value().to_vec());
            if let Some(page) = page {
                self.table.insert(&own, page.as_slice())?;
            }
        }
        Ok(())
    }

    fn write_kept(&mut self, write: PageWrite) -> Result<(), redb::Error> {
        match write {
            PageWrite::Put(id, page) => {
                self.table.insert(&page_key(&self.group, Which::Kept, &id), seal_page(&page).as_slice())?;
            }
            PageWrite::Delete(id) => {
                self.table.remove(&page_key(&self.group, Which::Kept, &id))?;
            }
        }
        Ok(())
    }

    /// Stores a page of what is held only where it differs from that of what is kept.
    fn write_held(&mut self, write: PageWrite) -> Result<(), redb::Error> {
        let (id, page) = match write {
            PageWrite::Put(id, page) => (id, Some(seal_page(&page))),
            PageWrite::Delete(id) => (id, None),
        };
        let own = page_key(&self.group, Which::Held, &id);
        let kept = self.table.get(&page_key(&self.group, Which::Kept, &id))?;
        let same = page.as_deref() == kept.as_ref().map(|kept| kept.value());
        drop(kept);
        match page.filter(|_| !same) {
            Some(page) => self.table.insert(&own, page.as_slice())?.map(drop),
            None => self.table.remove(&own)?.map(drop),
        };
        Ok(())
    }
}

fn place(write: &PageWrite) -> PageId {
    match write {
        PageWrite::Put(id, _) | PageWrite::Delete(id) => *id,
    }
}

/// Removes every page of a group's trees.
pub(super) fn clear(txn: &WriteTransaction, group: &GroupId) -> Result<(), redb::Error> {
    let ([first, _], [_, last]) = (page_keys(group, Which::Kept), page_keys(group, Which::Held));
    txn.open_table(PAGES)?.retain_in::<&[u8; PAGE_KEY], _>(&first..=&last, |_, _| false)?;
    Ok(())
}

/// Writes pages that were rebuilt on reading. What changes in the same transaction is written after.
pub(super) fn write_healed(
    txn: &WriteTransaction,
    version: &Arc<Version>,
    healed: &BTreeSet<(GroupId, Which, PageId)>,
) -> Result<(), AdmitError> {
    // In order: what is kept before what is held, which is compared with it.
    for (group, which, id) in healed {
        let Some(page) = version.pages(*group, *which).rebuild(id).map_err(AdmitError::Storage)? else { continue };
        let mut table = txn.open_table(PAGES).map_err(storage)?;
        let mut space = Space { table: &mut table, group: *group };
        let write = PageWrite::Put(*id, page);
        match which {
            Which::Kept => space.write_kept(write),
            Which::Held => space.write_held(write),
        }
        .map_err(storage)?;
    }
    Ok(())
}
