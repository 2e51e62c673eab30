use hearken_tree::{GroupId, PageError};
use hearken_wire::{Ihave, Salt, SaltedSpan, ShortDigest, ShortFingerprint, Summary, Window};

use super::{JobResult, View, view::salted};

/// What is kept in `window` in at most so many `spans`, unless that takes more than `budget` bytes.
pub(super) fn summarise(
    view: &View,
    (group, window, salt): (GroupId, Window, Salt),
    spans: usize,
    budget: usize,
) -> Result<JobResult, PageError> {
    let range = window.keys();
    let root = salt.shorten(&view.kept.fingerprint(&range)?);
    let mut ihave = Ihave { group, window, salt, root, summary: Summary::default() };
    let mut size = 0;
    let spans = view.kept.summary_if(&range, spans, |counts| {
        // All digests are of the same length.
        let digest = ShortDigest([0; 8]);
        let spans = counts.iter().filter(|(range, _)| !range.is_empty());
        let spans = spans.map(|&(range, count)| SaltedSpan { range, fingerprint: ShortFingerprint { digest, count } });
        ihave.summary = Summary::new(spans.collect()).unwrap_or_default();
        size = ihave.encode().map_or(usize::MAX, |bytes| bytes.len());
        let each = size / ihave.summary.len().max(1);
        size.saturating_sub(budget).div_ceil(each.max(1))
    })?;
    Ok(match spans {
        Some(spans) => JobResult::Summary(Ihave { summary: salted(&salt, spans), ..ihave }),
        None => JobResult::TooLong(size),
    })
}
