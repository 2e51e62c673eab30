//! From differences to a request: for each range the cheapest question that settles it.
//!
//! **Termination.** Each difference ends in one of: nothing to fetch; `All`, which settles it; `Sketch`, which settles it or
//! is answered by finer spans; `Check`, answered by `Equal` or finer spans. Finer spans of a range hold strictly fewer of
//! the provider's keys each, down to one (see `answer`). At one key there, the range is settled here: if nothing is held,
//! by `All`; if up to [`MAX_SKETCH`] keys are held, by a sketch with room for every key of both sides, which decodes but
//! for a collision of short ids, gone under the next salt; if more are held, it is left to the other side, whose turn it is
//! to ask. So a pursuit ends after at most log2(keys there) exchanges, whatever the estimates below are worth.
use std::ops::Range;

use hearken_tree::{Fingerprint, Key, KeyRange, PageError};
use hearken_wire::{Ask, RangeWant, Salt};

use super::{
    Difference, View, gaps,
    narrowing::Narrowing,
    scatter::{AGREED, Scatter},
    short,
    spread::{self, Workers},
};

/// Differences up to which one sketch is used; decoding costs the square.
pub(crate) const MAX_SKETCH: u64 = 64;
/// Differences aimed at in each part of a range that is cut.
const PER_PART: u64 = 56;
/// Parts that a range is cut into at most; a check narrows down what would need more.
const MAX_PARTS: u64 = 384;
/// Missing keys from which holes are looked for: below, one sketch is about as cheap, and settles it wherever they are.
const MIN_GAP: u64 = MAX_SKETCH;
/// A gap between two own keys costs about so many differences' worth of bytes to ask for.
const GAP_COST: u64 = 4;
/// Differences in each range from which it is likely that every range lacks something on both sides.
const FEW: u64 = 4;
/// Room for differences that counts do not show, which come in pairs: one here for one there. A sketch that is too small costs a hundred
/// times what room for one more does.
const LEAST_HIDDEN: u64 = 4;
/// Room beyond what is expected where a sketch was too small before.
const AGAIN: u64 = 6;
/// The same where sketches of [`MAX_SKETCH`] and more were: the other side cuts such a range into 16 spans, each of which has about
/// 5 differences if there were a few too many, and more than this in one of 10^6.
const MANY_AGAIN: u64 = 20;
/// Sketches from which on a request is large: one of them that is too small is alone to cost a round trip.
const MANY: u64 = 16;
/// Sketches from which on, if there were so many by a rough guess, finer spans are asked for first: they tell better how many it takes.
const MANY_BY_GUESS: u64 = 64;
/// Own keys in a range up to which all gaps between them may be asked for.
const MAX_GAPS: u64 = 1024;

struct Planner<'a> {
    view: &'a View,
    confirmed: bool,
    margins: Margins,
    scatter: Scatter,
    share: Share,
    narrowing: Narrowing,
    /// Sketches that the request will have, roughly.
    sketches: u64,
    questions: Vec<Question>,
}

/// What a range is asked: its digests and sums are made when all questions are known, since these are what takes long.
struct Question {
    range: KeyRange,
    kind: Kind,
}

enum Kind {
    All,
    Check,
    /// A sketch of `held` keys, with their fingerprint if it is known by now.
    Sketch {
        capacity: usize,
        held: u64,
        fingerprint: Option<Fingerprint>,
    },
}

/// What earlier sketches have shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Margins {
    /// These ranges were sketched before, in vain.
    pub(super) again: bool,
    /// Differences beyond those that the counts of a range show.
    pub(super) hidden: u64,
}

/// The ranges to ask for in a part of the differences, in order and without overlaps.
pub(super) fn plan(
    view: &View,
    salt: Salt,
    (differences, part): (&[Difference], Range<usize>),
    (confirmed, margins): (bool, Margins),
    workers: &dyn Workers,
) -> Result<Vec<RangeWant>, PageError> {
    let mut current = differences.to_vec();
    for difference in current.get_mut(part.clone()).unwrap_or_default() {
        difference.ours = view.held.count(&difference.range)?;
    }
    let (scatter, share) = (Scatter::of(&current), Share::of(&current));
    let parts = |d: &Difference| d.theirs.abs_diff(d.ours).max(scatter.expected(d.ours)).div_ceil(PER_PART);
    let sketches = current.iter().map(parts).fold(1, u64::saturating_add);
    let narrowing = Narrowing::of(&current, scatter);
    let mut planner = Planner { view, confirmed, margins, scatter, share, narrowing, sketches, questions: Vec::new() };
    for (at, difference) in current.iter().enumerate().filter(|(at, _)| part.contains(at)) {
        let left = at.checked_sub(1).and_then(|at| current.get(at));
        let right = current.get(at + 1);
        let beside_empty = (
            left.is_some_and(|left| hole(left) && left.range.end() == difference.range.start()),
            right.is_some_and(|right| hole(right) && right.range.start() == difference.range.end()),
        );
        planner.difference(difference, beside_empty)?;
    }
    let questions = merge(planner.questions);
    let cost = questions.iter().map(Question::cost).fold(0, u64::saturating_add);
    spread::map(workers, &questions, cost, |question| question.ask(view, salt)).into_iter().collect()
}

impl Question {
    /// In units of [work](hearken_sketch::work).
    fn cost(&self) -> u64 {
        match self.kind {
            Kind::All | Kind::Check => 0,
            Kind::Sketch { capacity, held, .. } => {
                hearken_sketch::encode_work(usize::try_from(held).unwrap_or(usize::MAX), capacity)
            }
        }
    }

    fn ask(&self, view: &View, salt: Salt) -> Result<RangeWant, PageError> {
        let range = self.range;
        let ask = match self.kind {
            Kind::All => Ask::All,
            Kind::Check => Ask::Check(salt.shorten(&view.held.fingerprint(&range)?)),
            Kind::Sketch { capacity, fingerprint, .. } => Ask::Sketch {
                fingerprint: salt.shorten(&fingerprint.map_or_else(|| view.held.fingerprint(&range), Ok)?).tiny(),
                syndromes: short::encode(&view.held, &range, salt, capacity)?,
            },
        };
        Ok(RangeWant { range, ask })
    }
}

impl Planner<'_> {
    fn difference(&mut self, difference: &Difference, beside_empty: (bool, bool)) -> Result<(), PageError> {
        let Difference { range, theirs, ours, apart, .. } = *difference;
        if ours == 0 {
            self.ask(range, Kind::All);
            return Ok(());
        }
        if self.narrowing.includes(difference) {
            self.ask(range, Kind::Check);
            return Ok(());
        }
        let many = self.sketches >= MANY;
        let apart = apart.map(|apart| if many { apart.max(self.scatter.expected(ours)) } else { apart });
        if let Some(expected) = apart.filter(|expected| *expected <= MAX_SKETCH) {
            // Two and a half standard deviations more: a sketch that is too small costs as much as fifty sums.
            let margin = if many { self.deviation(expected) } else { (expected * 25 / 4).isqrt() };
            self.sketch(range, (ours, None), expected + margin + 2);
            return Ok(());
        }
        if theirs == 0 {
            return Ok(());
        }
        if ours.saturating_sub(theirs) > MAX_SKETCH {
            // They lack far more than they can give. Who said so knows it by now and asks by itself.
            if !self.confirmed {
                self.ask(range, Kind::Check);
            }
            return Ok(());
        }
        let missing = theirs.saturating_sub(ours);
        // Where about as much is missing as in most ranges there is no hole to be found, however quiet some hours were.
        let scattered = self.share.expected(theirs);
        let unusual = missing >= scattered.saturating_mul(2).saturating_add(MIN_GAP);
        if unusual || (missing > scattered && (beside_empty.0 || beside_empty.1)) {
            let found = gaps::find(&self.view.held, &range, missing - scattered, beside_empty)?;
            if !found.is_empty() {
                return self.gaps_and_rest(range, &found);
            }
        }
        if missing / GAP_COST > ours && ours < MAX_GAPS {
            let found = gaps::all(&self.view.held, &range)?;
            found.into_iter().for_each(|range| self.ask(range, Kind::All));
            return Ok(());
        }
        self.sketches(difference)
    }

    /// Everything in the gaps; and of the rest a check that it is equal then, or sketches if it probably is not.
    fn gaps_and_rest(&mut self, range: KeyRange, gaps: &[KeyRange]) -> Result<(), PageError> {
        let mut start = range.start();
        for gap in gaps {
            self.rest(start, gap.start())?;
            self.ask(*gap, Kind::All);
            start = gap.end();
        }
        self.rest(start, range.end())
    }

    fn rest(&mut self, start: Key, end: Key) -> Result<(), PageError> {
        let Some(range) = KeyRange::new(start, end).ok().filter(|range| !range.is_empty()) else { return Ok(()) };
        let ours = self.view.held.count(&range)?;
        match self.share.expected(ours) {
            0 => self.ask(range, Kind::Check),
            expected => self.cut(range, ours, expected)?,
        }
        Ok(())
    }

    fn ask(&mut self, range: KeyRange, kind: Kind) {
        self.questions.push(Question { range, kind });
    }

    /// One sketch, or as many as keep each small.
    fn sketches(&mut self, difference: &Difference) -> Result<(), PageError> {
        let Difference { range, theirs, ours, .. } = *difference;
        let (known, all) = (theirs.abs_diff(ours), theirs.saturating_add(ours));
        let hidden = self.scatter.expected(ours);
        if hidden > known && theirs > 1 && self.sketches >= MANY_BY_GUESS && self.scatter.is_rough() {
            self.ask(range, Kind::Check);
            return Ok(());
        }
        // One key there cannot be narrowed down further, so everything has to fit: see the proof above.
        let expected = match theirs {
            0..=1 => all,
            _ if hidden < FEW => known,
            _ => known.max(hidden).min(all),
        };
        if expected <= MAX_SKETCH {
            let margin = match self.scatter {
                _ if self.margins.again && self.sketches >= MANY => self.deviation(expected - known).max(MANY_AGAIN),
                _ if expected > known => self.deviation(expected - known),
                _ if self.margins.again => AGAIN,
                Scatter::OneWay if known > 0 && self.margins.hidden == 0 => 0,
                _ => self.margins.hidden.max(LEAST_HIDDEN),
            };
            self.sketch(range, (ours, None), expected.saturating_add(margin).min(all));
            return Ok(());
        }
        self.cut(range, ours, expected)
    }

    /// As many sketches as keep each small, if about so many differences lie anywhere in the range.
    fn cut(&mut self, range: KeyRange, ours: u64, expected: u64) -> Result<(), PageError> {
        let parts = expected.div_ceil(PER_PART);
        if parts > MAX_PARTS {
            self.ask(range, Kind::Check);
            return Ok(());
        }
        for span in self.view.held.split(&range, usize::try_from(parts).unwrap_or(1))? {
            let held = span.fingerprint.count;
            if span.range.is_empty() {
                continue;
            }
            if held == 0 {
                self.ask(span.range, Kind::All);
                continue;
            }
            let share = u128::from(expected) * u128::from(held) / u128::from(ours.max(1));
            let share = u64::try_from(share).unwrap_or(u64::MAX).min(2 * MAX_SKETCH);
            // How many are missing where so many are held has a negative binomial distribution: 1 + share / held times Poisson's variance.
            let variance = u128::from(share) * u128::from(share + held) / u128::from(held);
            let differences = share + self.deviation(u64::try_from(variance).unwrap_or(u64::MAX));
            self.sketch(span.range, (held, Some(span.fingerprint)), differences);
        }
        Ok(())
    }

    /// A margin over an expected count of this variance (a Poisson count's is the count): three standard deviations, and more where
    /// there are many sketches, since each that is too small costs a round trip. With z^2 = 9 + log2 n, fewer than one request in ten
    /// has one.
    fn deviation(&self, variance: u64) -> u64 {
        variance.saturating_mul(9 + u64::from(self.sketches.ilog2())).isqrt() + 1
    }

    /// A sketch for so many differences among so many keys held here, and one sum to verify.
    fn sketch(&mut self, range: KeyRange, (held, fingerprint): (u64, Option<Fingerprint>), differences: u64) {
        let capacity = usize::try_from(differences.saturating_add(1)).unwrap_or(usize::MAX);
        self.ask(range, Kind::Sketch { capacity, held, fingerprint });
    }
}

/// What share of the messages is missing here in most of the ranges that differ, in 2^20ths; none if these are too few to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share(u64);

impl Share {
    /// The median: neither a hole in some of the ranges nor one that goes over several of them changes it.
    fn of(differences: &[Difference]) -> Share {
        let both = differences.iter().filter(|d| d.ours > 0 && d.theirs > d.ours);
        let share = |d: &Difference| (u128::from(d.theirs - d.ours) << 20) / u128::from(d.theirs);
        let mut shares: Vec<u128> = both.map(share).collect();
        if shares.len() < AGREED {
            return Share(0);
        }
        shares.sort_unstable();
        Share(shares.get(shares.len() / 2).copied().and_then(|share| u64::try_from(share).ok()).unwrap_or(0))
    }

    /// How many of so many messages are missing by that, rounded.
    fn expected(self, messages: u64) -> u64 {
        u64::try_from((u128::from(self.0) * u128::from(messages) + (1 << 19)) >> 20).unwrap_or(u64::MAX)
    }
}

/// Messages from which it is no chance that a range lacks them all.
const HOLE: u64 = 4;

fn hole(difference: &Difference) -> bool {
    difference.ours == 0 && difference.theirs >= HOLE
}

/// Neighbouring `All` ranges in one.
fn merge(questions: Vec<Question>) -> Vec<Question> {
    let mut merged: Vec<Question> = Vec::with_capacity(questions.len());
    for Question { range, kind } in questions {
        match (merged.last_mut(), kind) {
            (Some(Question { range: last, kind: Kind::All }), Kind::All) if last.end() == range.start() => {
                if let Ok(joined) = KeyRange::new(last.start(), range.end()) {
                    *last = joined;
                }
            }
            (_, kind) => merged.push(Question { range, kind }),
        }
    }
    merged
}
