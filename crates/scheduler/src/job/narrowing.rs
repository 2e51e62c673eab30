//! Where so many keys would have to be sketched that it pays to ask for finer spans first.
//!
//! A sketch takes every key of its range, at both sides: some 10 ns a key in memory, 0.1 to 0.3 us where it has to be read from a file.
//! Finer spans take the digests of whole chunks, of which there is one for some hundred keys. So where most of many keys would be
//! sketched for nothing, a second round trip costs less than they do.
use super::{Difference, answer::FINER_SPANS, scatter::Scatter};
use hearken_wire::limits::SPANS_MAX;

/// Keys from which on sketching them takes longer than a round trip on most links: 20 ms in memory, 0.2 to 0.6 s from a file, at either
/// side. A million in memory, where one round trip is to be enough, stay well below.
pub(crate) const MANY_KEYS: u64 = 2_000_000;
/// Keys, where a set has that many, for each of which the answer to a probe has another span.
const KEYS_PER_SPAN: u64 = 1 << 16;
/// Ranges narrowed down at a time: their finer spans have to fit into one answer, with room for others.
const MOST: usize = SPANS_MAX / FINER_SPANS / 2;

/// Which ranges of a request are narrowed down before anything in them is sketched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Narrowing {
    scatter: Scatter,
    /// Own keys from which on a range is one of them.
    from: u64,
}

impl Narrowing {
    /// Those with few differences, the largest of them, if all of them together hold [`MANY_KEYS`].
    pub(super) fn of(differences: &[Difference], scatter: Scatter) -> Narrowing {
        let mut held: Vec<u64> = differences.iter().filter(|d| is_sparse(d, scatter)).map(|d| d.ours).collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        held.truncate(MOST);
        let from = held.last().filter(|_| are_many(held.iter().copied())).copied();
        Narrowing { scatter, from: from.unwrap_or(u64::MAX) }
    }

    pub(super) fn includes(self, difference: &Difference) -> bool {
        difference.ours >= self.from && is_sparse(difference, self.scatter)
    }
}

/// Whether more than half of the finer spans of a range will probably be equal.
fn is_sparse(difference: &Difference, scatter: Scatter) -> bool {
    let Difference { theirs, ours, apart, .. } = *difference;
    let known = apart.unwrap_or(theirs.abs_diff(ours)).max(scatter.expected(ours));
    theirs > 0 && ours > 0 && known <= FINER_SPANS as u64 / 2
}

/// Whether ranges that hold so many keys each are too large to be sketched without need.
pub(crate) fn are_many(held: impl Iterator<Item = u64>) -> bool {
    held.fold(0, u64::saturating_add) > MANY_KEYS
}

/// Spans that the answer to a probe has more where so many keys are held.
pub(super) fn spans_for(held: u64) -> u64 {
    if held > MANY_KEYS { held / KEYS_PER_SPAN } else { 0 }
}

#[cfg(test)]
mod tests {
    use hearken_tree::KeyRange;

    use super::*;

    fn difference(theirs: u64, ours: u64) -> Difference {
        Difference { range: KeyRange::between(1, 2), theirs, ours, before: None, apart: None }
    }

    #[test]
    fn few_differences_among_many_keys_are_narrowed_down() {
        let sparse = difference(150_001, 150_000);
        let narrows = |differences: &[Difference]| {
            let narrowing = Narrowing::of(differences, Scatter::of(differences));
            differences.iter().filter(|difference| narrowing.includes(difference)).count()
        };
        assert_eq!(narrows(&[sparse; 13]), 0, "a round trip costs as much");
        assert_eq!(narrows(&[sparse; 14]), 14);
        assert_eq!(narrows(&[difference(150_009, 150_000); 64]), 0, "most of the finer spans would differ as well");
        assert_eq!(narrows(&[difference(150_000, 150_001); 64]), 64, "the other side lacks something");
        let both = [difference(150_150, 150_000), difference(149_850, 150_000)].repeat(32);
        assert_eq!(narrows(&both), 0, "counts scatter: many differences that they do not show");
        let joined = Difference { apart: Some(9), ..sparse };
        assert_eq!(narrows(&[joined; 64]), 0);
        let mut mixed = vec![difference(160_000, 150_000); 20];
        mixed.extend([sparse; 20]);
        assert_eq!(narrows(&mixed), 20, "the others are sketched meanwhile");
    }

    #[test]
    fn the_finer_spans_fit_into_one_answer() {
        let many: Vec<Difference> = (0..1000).map(|more| difference(150_001 + more, 150_000 + more)).collect();
        let narrowing = Narrowing::of(&many, Scatter::OneWay);
        let narrowed: Vec<u64> = many.iter().filter(|d| narrowing.includes(d)).map(|d| d.ours).collect();
        assert_eq!(narrowed.len(), MOST);
        assert_eq!(narrowed.first(), Some(&(151_000 - MOST as u64)), "the largest ones");
    }

    #[test]
    fn probes_of_large_sets_are_answered_in_finer_spans() {
        assert_eq!([1_000_000, 2_000_000, 10_000_000].map(spans_for), [0, 0, 152]);
    }
}
