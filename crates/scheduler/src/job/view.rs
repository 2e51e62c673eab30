use hearken_tree::{KeyRange, PageError, Snapshot, Span};
use hearken_wire::{Salt, SaltedSpan, ShortFingerprint, Summary};

/// One consistent state of a group's index.
#[derive(Clone)]
pub struct View {
    /// What is kept: announced and served.
    pub kept: Snapshot,
    /// What is kept or refused: counts as held when asking. The same as `kept` where nothing is refused.
    pub held: Snapshot,
}

impl View {
    /// Whether what is kept in `range`, or what is kept or refused, has `count` keys and the digest that `matches` knows.
    ///
    /// Counts are cheap and come first: only equal ones are worth a digest.
    pub(super) fn equals(
        &self,
        range: &KeyRange,
        salt: &Salt,
        count: u64,
        matches: impl Fn(&ShortFingerprint) -> bool,
    ) -> Result<bool, PageError> {
        Ok(equal(&self.kept, range, salt, count, &matches)? || self.held_equals(range, salt, count, matches)?)
    }

    /// Whether what is kept or refused in `range`, if anything is refused, has `count` keys and the digest that `matches` knows.
    pub(super) fn held_equals(
        &self,
        range: &KeyRange,
        salt: &Salt,
        count: u64,
        matches: impl Fn(&ShortFingerprint) -> bool,
    ) -> Result<bool, PageError> {
        Ok(self.refuses() && equal(&self.held, range, salt, count, matches)?)
    }

    /// Whether anything is held that is not kept.
    pub(super) fn refuses(&self) -> bool {
        self.kept.len() != self.held.len()
    }
}

fn equal(
    set: &Snapshot,
    range: &KeyRange,
    salt: &Salt,
    count: u64,
    matches: impl Fn(&ShortFingerprint) -> bool,
) -> Result<bool, PageError> {
    Ok(set.count(range)? == count && matches(&salt.shorten(&set.fingerprint(range)?)))
}

/// Spans as they travel.
pub(super) fn salted(salt: &Salt, spans: Vec<Span>) -> Summary {
    let spans = spans.into_iter().filter(|span| !span.range.is_empty());
    let salted = spans.map(|span| SaltedSpan { range: span.range, fingerprint: salt.shorten(&span.fingerprint) });
    // The tree's spans are consecutive by contract. Were they not, saying nothing is the safe answer.
    Summary::new(salted.collect()).unwrap_or_default()
}
