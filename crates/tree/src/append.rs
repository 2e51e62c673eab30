//! Many keys behind all others: a bulk build goes on where the tree ends.
use crate::{
    PageError, PageId,
    build::Builder,
    cursor::Cursor,
    edit::Core,
    sequence::{Base, MAX, MIN, Stored},
    shape::Raw,
};

impl Core {
    /// How many of these ascending keys are not worth [`append`](Self::append): those behind all others are, where they are many.
    pub(crate) fn not_appended(&self, keys: &[Raw]) -> Result<usize, PageError> {
        let (Some(root), cap) = (&self.root, self.source.shape.cap()) else { return Ok(0) };
        // The last chunk of each level is made anew.
        if keys.len() <= cap {
            return Ok(keys.len());
        }
        let last = Cursor::seek(&self.source, root, 0, &MAX)?.last_first()?;
        let within = keys.partition_point(|key| *key <= last);
        Ok(if keys.len() - within > cap { within } else { keys.len() })
    }

    /// Adds ascending keys that come after all others; returns how many they are, each counted once.
    pub(crate) fn append(&mut self, keys: &[Raw]) -> Result<u64, PageError> {
        let (mut builder, gone) = self.reopened()?;
        let mut new = 0;
        for key in keys {
            if builder.last() != Some(key) {
                builder.push(*key);
                new += 1;
            }
        }
        self.root = builder.finish();
        self.ledger.gone.extend(gone);
        Ok(new)
    }

    /// A build that has come to the end of the tree, and the written pages of the chunks that it makes anew.
    fn reopened(&self) -> Result<(Builder, Vec<PageId>), PageError> {
        let mut builder = Builder::new(self.source.shape, self.ledger.now);
        let mut gone = Vec::new();
        let Some(root) = &self.root else { return Ok((builder, gone)) };
        let base = Base { source: &self.source, root };
        let all = Stored { from: MIN, to: MAX, begins: true, ends: true };
        for level in 0..=root.level() {
            let cursor = Cursor::seek(&self.source, root, level, &MAX)?;
            let (entry, chunk) = (cursor.entry(), cursor.node()?);
            if chunk.is_some() && self.ledger.is_written(&entry.child) {
                gone.extend(entry.page());
            }
            // Of an over-long run no cell but the last changes, but the others show that it is one.
            let is_run = cursor.is_first() || self.source.shape.bounds(&entry.first, level);
            let before = if is_run { None } else { base.keys_before(level, cursor.clone(), &all)? };
            builder.reopen(level, &entry.first, chunk.as_deref(), before.unwrap_or_default(), !cursor.is_first());
        }
        Ok((builder, gone))
    }
}
