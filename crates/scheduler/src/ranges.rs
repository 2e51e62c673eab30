//! Searching what belongs to ranges that are in order and do not overlap.
use hearken_tree::KeyRange;

/// Those whose ranges overlap `range`.
pub(crate) fn overlapping<'a, T>(sorted: &'a [T], range: &KeyRange, of: impl Fn(&T) -> KeyRange) -> &'a [T] {
    let (_, not_before) = sorted.split_at(sorted.partition_point(|item| of(item).end() <= range.start()));
    let (overlapping, _) = not_before.split_at(not_before.partition_point(|item| of(item).start() < range.end()));
    overlapping
}

/// The one whose range is `range`.
pub(crate) fn at<'a, T>(sorted: &'a [T], range: &KeyRange, of: impl Fn(&T) -> KeyRange) -> Option<&'a T> {
    sorted.binary_search_by(|item| of(item).cmp(range)).ok().and_then(|at| sorted.get(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found() {
        let sorted: Vec<KeyRange> = (0..50).map(|n| KeyRange::between(4 * n, 4 * n + 3)).collect();
        for from in 0..200 {
            for to in from + 1..200 {
                let range = KeyRange::between(from, to);
                let expected: Vec<_> = sorted.iter().filter(|other| other.intersection(&range).is_some()).collect();
                assert_eq!(overlapping(&sorted, &range, |range| *range).iter().collect::<Vec<_>>(), expected);
                assert_eq!(at(&sorted, &range, |range| *range), sorted.iter().find(|other| **other == range));
            }
        }
    }
}
