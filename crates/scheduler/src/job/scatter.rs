//! What the counts of all ranges together tell of differences that no count shows.
use super::Difference;

/// Ranges whose counts have to agree on who lacks something, before it is believed that the other side lacks nothing.
pub(super) const AGREED: usize = 6;

/// How far messages are missing on both sides, by how the counts of ranges scatter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scatter {
    /// On this side only, as far as can be seen: counts tell all.
    OneWay,
    /// On both sides: about so many differences in 2^20 messages, whatever the counts of a range say.
    BothWays(u64),
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
            return Scatter::BothWays(0);
        }
        let variance = |d: &&Difference| (u128::from(d.theirs.abs_diff(d.ours)).pow(2) << 20) / u128::from(d.ours);
        let mut variances: Vec<u128> = both.iter().map(variance).collect();
        variances.sort_unstable();
        // A gap in a range or two says nothing of the others.
        let outlier = variances.get(variances.len() / 2).copied().unwrap_or(0).saturating_mul(16);
        let samples = both.len() as u64;
        let sum = variances.iter().map(|variance| (*variance).min(outlier)).fold(0, u128::saturating_add);
        let mean = u64::try_from(sum / u128::from(samples.max(1))).unwrap_or(u64::MAX);
        // A sketch too small costs more than one too large: one and a half standard errors (sqrt(2 / n)) on top.
        Scatter::BothWays(mean.saturating_add(mean.saturating_mul(3) / (2 * samples).isqrt().max(1)))
    }

    /// How many differences a range with so many own keys has, beyond those that its counts show.
    pub(crate) fn expected(self, ours: u64) -> u64 {
        match self {
            Scatter::OneWay => 0,
            Scatter::BothWays(density) => {
                u64::try_from((u128::from(density) * u128::from(ours)) >> 20).unwrap_or(u64::MAX)
            }
        }
    }
}
