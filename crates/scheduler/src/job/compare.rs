use hearken_tree::{Comparer, KeyRange, PageError};
use hearken_wire::{Salt, ShortFingerprint, Summary};

use super::{Compared, Difference, View};

/// Compares somebody's spans with what is here: the root first, which settles most cases at once.
pub(super) fn compare(
    view: &View,
    salt: &Salt,
    summary: &Summary,
    root: Option<&ShortFingerprint>,
    within: &KeyRange,
) -> Result<Compared, PageError> {
    let mut compared = Compared::default();
    if let (Some(root), Some(range)) = (root, summary.range())
        && within.covers(&range)
        && view.equals(&range, salt, root.count, |ours| ours == root)?
    {
        compared.spans = summary.len();
        return Ok(compared);
    }
    let spans = || summary.spans().filter(|span| within.covers(&span.range));
    let mut comparer = Comparer::of(&view.kept, spans().map(|span| (span.range, span.fingerprint.count)))?;
    let mut before = None;
    for span in spans() {
        compared.spans += 1;
        let theirs = span.fingerprint;
        let kept = comparer.equals(&span.range, theirs.count, |ours| salt.shorten(ours) == theirs)?;
        if !kept && !view.held_equals(&span.range, salt, theirs.count, |ours| *ours == theirs)? {
            let ours = view.held.count(&span.range)?;
            let difference = Difference { range: span.range, theirs: theirs.count, ours, before, apart: None };
            compared.differences.push(difference);
            before = Some(0);
        } else {
            before = before.map(|before: u64| before.saturating_add(theirs.count));
        }
    }
    Ok(compared)
}
