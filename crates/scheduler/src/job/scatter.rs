//! What the counts of all ranges together tell of differences that no count shows.
use super::Difference;

/// Ranges whose counts have to agree before they are believed: on who lacks something, or that it is lost by chance.
pub(super) const AGREED: usize = 6;

/// Ranges by whose counts it is known to a half how far messages are missing.
const MANY_SAMPLES: usize = 16;

/// Differences in 2^20 messages beyond which losses by chance are not what makes counts scatter, as a rule: one side is being filled
/// while they are compared.
const LIKELY: u64 = 1 << 18;

/// How far messages are missing on both sides, by how the counts of ranges scatter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scatter {
    /// On this side only, as far as can be seen: counts tell all.
    OneWay,
    /// On both sides: about so many differences in 2^20 messages, whatever the counts of a range say, by the counts of so many ranges.
    BothWays { density: u64, samples: usize },
}

impl Scatter {
    /// If a and b messages of a range are missing at random on the one side and the other, its count difference has the
    /// variance a + b.
    pub(crate) fn of(differences: &[Difference]) -> Scatter {
        let both: Vec<&Difference> = differences.iter().filter(|d| d.ours > 0 && d.theirs > 0).collect();
        let more = both.iter().filter(|d| d.theirs > d.ours).count();
        let fewer = both.iter().filter(|d| d.theirs < d.ours).count();
        let level = both.len() - more - fewer;
        if more.min(fewer) + level == 0 && both.len() >= AGREED {
            return Scatter::OneWay;
        }
        if (more.min(fewer) + level) * 8 < both.len() {
            return Scatter::BothWays { density: 0, samples: both.len() };
        }
        // Where one side lacks more than the other everywhere, counts tell that much; what they scatter around it is chance.
        let [all, beyond] = [Balance(0), Balance::of(&both)].map(|balance| variance(&both, balance));
        let (overall, between) = (all.min(beyond), steps(&both));
        // By chance they would be about the same.
        let filling = overall.0 > LIKELY && between.0 < overall.0 / 4;
        let (mean, samples) = if filling { between } else { overall };
        // A sketch too small costs more than one too large: a standard error (sqrt(2 / n)) on top.
        let error = mean.saturating_mul(2) / (2 * samples as u64).isqrt().max(1);
        Scatter::BothWays { density: mean.saturating_add(error), samples }
    }

    /// Whether it is by so few ranges that it may well be twice as much as there is.
    pub(super) fn is_rough(self) -> bool {
        matches!(self, Scatter::BothWays { samples, .. } if samples < MANY_SAMPLES)
    }

    /// How many differences a range with so many own keys has, beyond those that its counts show.
    pub(crate) fn expected(self, ours: u64) -> u64 {
        match self {
            Scatter::OneWay => 0,
            Scatter::BothWays { density, .. } => {
                u64::try_from((u128::from(density) * u128::from(ours)) >> 20).unwrap_or(u64::MAX)
            }
        }
    }
}

/// The variance of the counts around what is missing everywhere, in 2^20ths of the own messages, and by how many ranges.
fn variance(differences: &[&Difference], balance: Balance) -> (u64, usize) {
    // What came meanwhile to some of the ranges says nothing of the others. Where that leaves too few, both sides may well have gone their
    // own ways.
    let by_chance: Vec<&Difference> = differences.iter().copied().filter(|d| balance.is_chance(d)).collect();
    let telling = if by_chance.len() >= AGREED { &by_chance } else { differences };
    let variance = |d: &&Difference| balance.beyond(d).saturating_pow(2).saturating_mul(1 << 20) / u128::from(d.ours);
    mean(telling.iter().map(variance).collect())
}

/// The same from one range to the next: where one side is being filled, neighbouring ranges are filled about as far.
fn steps(differences: &[&Difference]) -> (u64, usize) {
    let step = |pair: &[&Difference]| {
        let [left, right] = pair else { return 0 };
        // Of the share that the one side has more: how far it goes, and how far it would if every message were a difference.
        let [a, b] = [left, right].map(|d| (more(d) << 20) / i128::from(all(d)).max(1));
        let [x, y] = [left, right].map(|d| (u128::from(d.ours) << 40) / u128::from(all(d)).saturating_pow(2).max(1));
        (a - b).unsigned_abs().saturating_pow(2).saturating_mul(1 << 20) / (x + y).max(1)
    };
    mean(differences.windows(2).map(step).collect())
}

/// The mean of variances, and how many they are. A gap in a range or two says nothing of the others.
fn mean(mut variances: Vec<u128>) -> (u64, usize) {
    variances.sort_unstable();
    let outlier = variances.get(variances.len() / 2).copied().unwrap_or(0).saturating_mul(16);
    let samples = variances.len();
    let sum = variances.iter().map(|variance| (*variance).min(outlier)).fold(0, u128::saturating_add);
    (u64::try_from(sum / samples.max(1) as u128).unwrap_or(u64::MAX), samples)
}

/// How much more the other side has than this one in most ranges, in 2^20ths of what both have.
#[derive(Clone, Copy, Debug)]
struct Balance(i128);

impl Balance {
    /// The median: what came meanwhile to some of the ranges does not change it.
    fn of(differences: &[&Difference]) -> Balance {
        let mut shares: Vec<i128> = differences.iter().map(|d| (more(d) << 20) / i128::from(all(d)).max(1)).collect();
        shares.sort_unstable();
        Balance(shares.get(shares.len() / 2).copied().unwrap_or(0))
    }

    /// How far the counts of a range are from that.
    fn beyond(self, difference: &Difference) -> u128 {
        (more(difference) - ((self.0 * i128::from(all(difference))) >> 20)).unsigned_abs()
    }

    /// Whether they can be so far by chance: if every message were missing on one side or the other, their difference would have the
    /// variance of them all, and is hardly ever more than three standard deviations. Where it is, there is a hole or much has come since.
    fn is_chance(self, difference: &Difference) -> bool {
        self.beyond(difference).saturating_pow(2) <= 9 * u128::from(all(difference))
    }
}

/// How many keys more the other side has.
fn more(difference: &Difference) -> i128 {
    i128::from(difference.theirs) - i128::from(difference.ours)
}

/// The keys of both sides.
fn all(difference: &Difference) -> u64 {
    difference.theirs.saturating_add(difference.ours)
}

#[cfg(test)]
mod tests {
    use hearken_tree::KeyRange;

    use super::*;

    fn difference(theirs: u64, ours: u64) -> Difference {
        Difference { range: KeyRange::between(1, 2), theirs, ours, before: None, apart: None }
    }

    #[test]
    fn what_came_meanwhile_says_nothing_of_what_was_lost() {
        // Counts that differ by 14 either way: as if 200 of 2,000 messages were missing on one side or the other.
        let lost: Vec<Difference> =
            (0..40).map(|at| difference(1_000 + 14 * (at % 2), 1_014 - 14 * (at % 2))).collect();
        let alone = Scatter::of(&lost).expected(1_000);
        assert!((200..300).contains(&alone), "{alone}");
        // Half as many ranges that one side is filling.
        let filling = (0..20).map(|at| difference(1_000, 100 + 30 * at));
        let both: Vec<Difference> = lost.into_iter().chain(filling).collect();
        assert_eq!(Scatter::of(&both).expected(1_000), alone);
    }

    #[test]
    fn what_is_being_filled_hides_no_more() {
        // One side has all in half of the ranges, and lacks 5 % in the others.
        let ours = [1_888, 1_942, 2_098, 2_549, 1_771, 1_840, 1_679, 1_856, 2_060, 1_573];
        let theirs = [1_895, 1_944, 2_101, 2_546, 1_767, 1_924, 1_778, 1_949, 2_170, 1_645];
        let half: Vec<Difference> =
            theirs.into_iter().zip(ours).map(|(theirs, ours)| difference(theirs, ours)).collect();
        let hidden = Scatter::of(&half).expected(2_000);
        assert!(hidden < 200, "{hidden}");
    }

    #[test]
    fn what_is_missing_everywhere_hides_no_more() {
        // Small ranges of which one side has half.
        let small: Vec<Difference> =
            (0..64).map(|at| difference(16 - at % 2, 7 + at % 3)).chain([difference(7, 8); 10]).collect();
        let hidden = Scatter::of(&small).expected(8);
        assert!(hidden <= 8, "{hidden}");
    }

    #[test]
    fn counts_that_nobody_can_hold_overflow_nothing() {
        let lies = [difference(u64::MAX, 1), difference(1, u64::MAX), difference(u64::MAX, u64::MAX)];
        for differences in
            [[lies[0]; 8], [lies[1]; 8], [lies[0], lies[1], lies[2], lies[0], lies[1], lies[2], lies[1], lies[1]]]
        {
            let _ = Scatter::of(&differences).expected(u64::MAX);
        }
    }

    #[test]
    fn a_few_ranges_are_a_rough_guess() {
        let of = |ranges: usize| Scatter::of(&[difference(1_000, 1_014), difference(1_014, 1_000)].repeat(ranges / 2));
        assert!(of(8).is_rough() && !of(32).is_rough());
        assert!(of(8).expected(1_000) > of(32).expected(1_000), "the less is known, the more room is left");
        assert_eq!(Scatter::of(&[difference(1_000, 990); 8]), Scatter::OneWay, "nothing has to be guessed");
    }
}
