//! The trees of each group, in memory.
use hearken_tree::{Key, PageError, Tree};

use crate::{View, ledger::Changes};

/// A group's trees: what is kept, and what is kept or refused.
#[derive(Clone, Default)]
pub(crate) struct GroupIndex {
    kept: Tree,
    /// Only while something is refused.
    held: Option<Tree>,
}

impl GroupIndex {
    /// Follows one transaction; `refused` is how many refused keys are remembered after it.
    pub(crate) fn apply(&mut self, changes: &Changes, refused: u64) -> Result<(), PageError> {
        if changes.is_empty() {
            return Ok(());
        }
        let refusing = !changes.refused.is_empty() || !changes.deleted.is_empty();
        if refusing && self.held.is_none() {
            self.held = Some(self.kept.clone());
        }
        if let Some(held) = &mut self.held {
            held.insert_all(changes.stored.iter().chain(&changes.refused).chain(&changes.deleted).copied())?;
            remove_all(held, &changes.forgotten)?;
        }
        self.kept.insert_all(changes.stored.iter().copied())?;
        remove_all(&mut self.kept, &changes.deleted)?;
        if let Some(bound) = &changes.before {
            self.kept.drop_before(bound)?;
            if let Some(held) = &mut self.held {
                held.drop_before(bound)?;
            }
        }
        if refused == 0 {
            self.held = None;
        }
        Ok(())
    }

    /// The trees as they stand.
    pub(crate) fn view(&self) -> View {
        let kept = self.kept.snapshot();
        let held = self.held.as_ref().map_or_else(|| kept.clone(), Tree::snapshot);
        View { kept, held }
    }
}

/// Removes keys, which are there.
pub(crate) fn remove_all(tree: &mut Tree, keys: &[Key]) -> Result<(), PageError> {
    keys.iter().try_for_each(|key| tree.remove(key).map(|_| ()))
}
