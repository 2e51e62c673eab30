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
        follow(&mut self.kept, self.held.as_mut(), changes)?;
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

/// Brings both trees up to what one transaction changed; `held` comes along where there is one.
pub(crate) fn follow(kept: &mut Tree, held: Option<&mut Tree>, changes: &Changes) -> Result<(), PageError> {
    if let Some(held) = held {
        held.insert_all(changes.stored.iter().chain(&changes.refused).chain(&changes.deleted).copied())?;
        remove_all(held, &changes.forgotten)?;
        changes.before.map_or(Ok(0), |bound| held.drop_before(&bound))?;
    }
    kept.insert_all(changes.stored.iter().copied())?;
    remove_all(kept, &changes.deleted)?;
    changes.before.map_or(Ok(0), |bound| kept.drop_before(&bound))?;
    Ok(())
}

/// Removes keys, which are there.
fn remove_all(tree: &mut Tree, keys: &[Key]) -> Result<(), PageError> {
    keys.iter().try_for_each(|key| tree.remove(key).map(|_| ()))
}
