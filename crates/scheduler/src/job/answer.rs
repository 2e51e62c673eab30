//! What a provider says to a request: a verdict for each range, and what to stream.
//!
//! **Progress.** A `Finer` verdict over a range with k >= 2 keys has at least two spans with fewer than k keys each; with
//! k <= 1 it is one span that the requester can resolve at once (see `plan`). So every chain of `Finer` ends.
use hearken_tree::{Key, KeyRange, PageError, Span};
use hearken_wire::{Ask, RangeWant, Salt, ShortFingerprint, TinyFingerprint, Verdict, Want, limits::SPANS_MAX};

use super::{
    JobResult, View, narrowing,
    short::{self, Decoded},
    spread::{self, Workers},
    view::salted,
};
use crate::Selection;

/// Spans of a `Finer` verdict at most. 16 spans are about 200 bytes, and shrink a range in each exchange by 4 bits.
pub(crate) const FINER_SPANS: usize = 16;
/// Spans of the answer to a probe: some by age, since what is missing is mostly young, and the requester cuts further by
/// itself.
const PROBE_SPANS: usize = 8;
/// Differences for each of which, by the counts, the answer to a probe has another span: sketches for so many fill one
/// request, and a request goes for whole spans.
const PER_PROBE_SPAN: u64 = 12_288;
/// Spans of the answer to a probe at most.
const MAX_PROBE_SPANS: usize = 128;
/// Cost units of comparing a range by its digest: a few chunks are hashed.
const COMPARE_COST: u64 = 2_000;

/// Cost units of answering a range, where as many keys are held as at who asks.
pub(crate) fn cost(asked: &RangeWant) -> u64 {
    match &asked.ask {
        // Who asks for ids does not know how much is held there.
        Ask::All | Ask::Ids(_) => 0,
        Ask::Check(_) => COMPARE_COST,
        Ask::Sketch { fingerprint, syndromes } => {
            COMPARE_COST.saturating_add(sketch_cost(fingerprint.count, syndromes.len()))
        }
    }
}

fn sketch_cost(held: u64, capacity: usize) -> u64 {
    hearken_sketch::work(usize::try_from(held).unwrap_or(usize::MAX), capacity)
}

struct Answerer<'a> {
    view: &'a View,
    want: &'a Want,
    within: KeyRange,
    budget: u64,
    cost: u64,
    /// Spans that may still be answered with.
    spans: usize,
    selection: Vec<Selection>,
}

/// What comes of looking at a range for the first time.
enum Look {
    /// All there is to say.
    Said(Verdict, Option<Selection>),
    /// A sketch to be decoded, which is what takes long.
    Decode(Sketched),
}

impl Look {
    /// Nothing is to be streamed for it.
    fn said(verdict: Verdict) -> Look {
        Look::Said(verdict, None)
    }
}

/// Somebody's sketch of a range in which so many keys more are held here.
struct Sketched {
    range: KeyRange,
    syndromes: Vec<u32>,
    more: i64,
}

/// Answers each range of `want`, for so many cost units and finer spans at most.
pub(super) fn answer(
    view: &View,
    want: &Want,
    within: KeyRange,
    (budget, spans): (u64, usize),
    workers: &dyn Workers,
) -> Result<JobResult, PageError> {
    let spans = spans.min(SPANS_MAX);
    let mut answerer = Answerer { view, want, within, budget, cost: 0, spans, selection: Vec::new() };
    let looks = want.ranges.iter().map(|range| answerer.look(range)).collect::<Result<Vec<_>, _>>()?;
    let decode = |look: &Look| match look {
        Look::Said(..) => Ok(None),
        Look::Decode(sketched) => sketched.decode(view, want.salt),
    };
    let decoded = spread::map(workers, &looks, answerer.cost, decode);
    let verdicts = looks.into_iter().zip(decoded).map(|(look, decoded)| answerer.verdict(look, decoded?));
    let verdicts = verdicts.collect::<Result<Vec<_>, _>>()?;
    Ok(JobResult::Answered { verdicts, selection: answerer.selection, cost: answerer.cost })
}

impl Sketched {
    fn decode(&self, view: &View, salt: Salt) -> Result<Option<Decoded>, PageError> {
        short::decode(&view.kept, &self.range, salt, &self.syndromes, self.more)
    }
}

impl Answerer<'_> {
    fn look(&mut self, asked: RangeWant) -> Result<Look, PageError> {
        let range = asked.range;
        if !self.within.covers(&range) {
            return self.partly_outside(&asked);
        }
        match asked.ask {
            Ask::All => self.all(range),
            Ask::Check(fingerprint) => self.check(&range, &fingerprint).map(Look::said),
            Ask::Sketch { fingerprint, syndromes } => self.sketch(range, &fingerprint, syndromes),
            Ask::Ids(ids) => self.ids(&range, &ids),
        }
    }

    /// What is said in the end; what of it is to be streamed is noted.
    fn verdict(&mut self, look: Look, decoded: Option<Decoded>) -> Result<Verdict, PageError> {
        let (verdict, selection) = match (look, decoded) {
            (Look::Said(verdict, selection), _) => (verdict, selection),
            (Look::Decode(Sketched { range, .. }), Some(decoded)) => {
                let lacks = self.without_refused(&range, decoded.lacks)?;
                deliver(decoded.found, lacks)
            }
            // More differs than the sketch could tell, and probably not many times more.
            (Look::Decode(Sketched { range, syndromes, .. }), None) => {
                (self.finer(&range, (syndromes.len() / 2).clamp(4, FINER_SPANS))?, None)
            }
        };
        self.selection.extend(selection);
        Ok(verdict)
    }

    /// Unequal windows: a check is answered for the part that is settled here.
    fn partly_outside(&mut self, asked: &RangeWant) -> Result<Look, PageError> {
        let verdict = match (&asked.ask, self.within.intersection(&asked.range)) {
            (Ask::Check(_), Some(settled)) if self.afford(COMPARE_COST) => self.finer(&settled, FINER_SPANS)?,
            (Ask::Check(_), Some(_)) => Verdict::TooCostly,
            _ => Verdict::Outside,
        };
        Ok(Look::said(verdict))
    }

    fn all(&self, range: KeyRange) -> Result<Look, PageError> {
        let count = self.view.kept.count(&range)?;
        let selection = (count > 0).then_some(Selection::Range { range, count });
        Ok(Look::Said(Verdict::Deliver { count, lacks: Vec::new() }, selection))
    }

    fn check(&mut self, range: &KeyRange, theirs: &ShortFingerprint) -> Result<Verdict, PageError> {
        if !self.afford(COMPARE_COST) {
            return Ok(Verdict::TooCostly);
        }
        if self.view.equals(range, &self.want.salt, theirs.count, |ours| ours == theirs)? {
            return Ok(Verdict::Equal);
        }
        if self.want.ranges.len() > 1 {
            return self.finer(range, FINER_SPANS);
        }
        let held = self.view.kept.count(range)?;
        let more = (held.abs_diff(theirs.count) / PER_PROBE_SPAN).max(narrowing::spans_for(held));
        let spans = PROBE_SPANS.saturating_add(usize::try_from(more).unwrap_or(MAX_PROBE_SPANS)).min(MAX_PROBE_SPANS);
        if self.spans < PROBE_SPANS {
            return Ok(Verdict::TooCostly);
        }
        self.spans_of(range, self.view.kept.summary(range, spans.min(self.spans))?)
    }

    fn sketch(&mut self, range: KeyRange, theirs: &TinyFingerprint, syndromes: Vec<u32>) -> Result<Look, PageError> {
        if !self.afford(COMPARE_COST) {
            return Ok(Look::said(Verdict::TooCostly));
        }
        if self.view.equals(&range, &self.want.salt, theirs.count, |ours| ours.tiny() == *theirs)? {
            return Ok(Look::said(Verdict::Equal));
        }
        let count = self.view.kept.count(&range)?;
        if count.abs_diff(theirs.count) >= syndromes.len() as u64 {
            return self.finer(&range, FINER_SPANS).map(Look::said);
        }
        if !self.afford(sketch_cost(count, syndromes.len())) {
            return Ok(Look::said(Verdict::TooCostly));
        }
        let more = count.wrapping_sub(theirs.count).cast_signed();
        Ok(Look::Decode(Sketched { range, syndromes, more }))
    }

    fn ids(&mut self, range: &KeyRange, ids: &[u32]) -> Result<Look, PageError> {
        let count = self.view.kept.count(range)?;
        if !self.afford(hearken_sketch::encode_work(usize::try_from(count).unwrap_or(usize::MAX), 1)) {
            return Ok(Look::said(Verdict::TooCostly));
        }
        let found = short::find(&self.view.kept, range, self.want.salt, ids)?;
        let (verdict, selection) = deliver(found, Vec::new());
        Ok(Look::Said(verdict, selection))
    }

    fn finer(&mut self, range: &KeyRange, spans: usize) -> Result<Verdict, PageError> {
        if self.spans < FINER_SPANS {
            return Ok(Verdict::TooCostly);
        }
        self.spans_of(range, self.view.kept.split(range, spans)?)
    }

    fn spans_of(&mut self, range: &KeyRange, spans: Vec<Span>) -> Result<Verdict, PageError> {
        let summary = salted(&self.want.salt, spans);
        debug_assert!(summary.range().is_none_or(|found| found == *range), "the tree's spans cover the range");
        self.spans = self.spans.saturating_sub(summary.len());
        Ok(Verdict::Finer(summary))
    }

    /// What is refused here is not lacked.
    fn without_refused(&self, range: &KeyRange, lacks: Vec<u32>) -> Result<Vec<u32>, PageError> {
        if lacks.is_empty() || !self.view.refuses() {
            return Ok(lacks);
        }
        let held = short::find(&self.view.held, range, self.want.salt, &lacks)?;
        let short = hearken_sketch::ShortIds::new(self.want.salt.0);
        let mut held: Vec<u32> = held.iter().map(|key| short.of(&key.id().0).get()).collect();
        held.sort_unstable();
        Ok(lacks.into_iter().filter(|id| held.binary_search(id).is_err()).collect())
    }

    fn afford(&mut self, cost: u64) -> bool {
        let total = self.cost.saturating_add(cost);
        let affordable = total <= self.budget;
        if affordable {
            self.cost = total;
        }
        affordable
    }
}

/// That these keys are streamed, and what is lacked here.
fn deliver(found: Vec<Key>, lacks: Vec<u32>) -> (Verdict, Option<Selection>) {
    let count = found.len() as u64;
    (Verdict::Deliver { count, lacks }, (count > 0).then_some(Selection::Keys(found)))
}
