//! Asking: whom to ask for what differs, and the request that comes of it.
use std::{collections::BTreeMap, fmt::Debug, ops::Range};

use hearken_tree::{GroupId, KeyRange};
use hearken_wire::{Ask, Frame, RangeWant, Salt, Want};
use rand::seq::SliceRandom;

use crate::{
    Action, Difference, Engine, Job, Limits,
    bucket::cap_rate,
    exchange::{Asked, Exchange, HEAD, Purpose, weight},
    job::cost,
    metrics,
    pending::{Pending, Plan},
    pursuit::{Source, Task, TaskId},
    ranges::overlapping,
    window,
};

/// A large gap is cut into so many batches for each peer that may be asked, so that a quick one gets more of them.
const BATCHES_PER_PEER: usize = 4;
/// Where less than this part of the messages is missing, they are few.
const FEW_MISSING: u64 = 8;
/// Ranges in a request from which further tasks go into another. One task has at most 1,025 ranges.
const RANGES: usize = 2048;
/// Keys held in the ranges of one part of a plan, about: to sketch them takes a few milliseconds. What is planned first is answered while
/// the next is planned.
const PART_KEYS: u64 = 1 << 17;
/// Parts of a plan at most: each is a request of its own.
const PARTS: u64 = 8;

impl<P: Clone + Ord + Debug> Engine<P> {
    /// Hands the group's due tasks to peers that may be asked.
    pub(crate) fn pursue(&mut self, id: GroupId) {
        let now = self.ctx.now.monotonic;
        let Some(group) = self.groups.get_mut(&id) else { return };
        let due = group.pursuit.due(now);
        if due.is_empty() {
            return;
        }
        let mut free = self.free_peers(id);
        if free.is_empty() || self.sated() {
            return self.stall(id);
        }
        free.shuffle(&mut self.ctx.rng);
        // Who has lied comes last.
        free.sort_by_key(|peer| self.peers.peer(peer).is_some_and(|peer| peer.penalty.points() > 0));
        // Those that are being asked already get their share of what is left.
        let able = self.usable(id).filter(|(peer, _)| self.suits(id, peer, &due, false)).count();
        let (promised, open) = self.sort_by_source(id, due, (&free, able));
        for (peer, tasks) in promised {
            free.retain(|other| *other != peer);
            self.plan(id, peer, tasks);
        }
        let only = self.usable(id).take(2).count() == 1;
        for batch in self.batches(id, open, able) {
            if free.is_empty() {
                break;
            }
            match free.iter().position(|peer| self.suits(id, peer, &batch, only)) {
                Some(at) => {
                    let peer = free.swap_remove(at);
                    self.plan(id, peer, batch);
                }
                None => self.nobody_left(id, &batch),
            }
        }
        self.stall(id);
    }

    /// Connected peers that have joined the group, behave, and are not being asked already.
    fn free_peers(&self, id: GroupId) -> Vec<P> {
        let most = self.ctx.config.limits.unadmitted_per_peer;
        let free = self.usable(id).filter(|(name, peer)| !peer.occupied(&id) && self.unadmitted_of(name) < most);
        free.map(|(name, _)| name.clone()).collect()
    }

    /// Peers that may be asked about the group.
    pub(crate) fn usable(&self, id: GroupId) -> impl Iterator<Item = (&P, &crate::peers::Peer)> {
        let group = self.groups.get(&id);
        let usable = self.peers.usable(id, self.ctx.now.monotonic);
        usable.filter(move |(name, _)| group.is_some_and(|group| group.allows(name)))
    }

    /// Whether this peer may be asked about the group.
    pub(crate) fn may_ask(&self, id: GroupId, peer: &P) -> bool {
        let allowed = self.groups.get(&id).is_some_and(|group| group.allows(peer));
        allowed && self.peers.peer(peer).is_some_and(|peer| peer.usable(&id, self.ctx.now.monotonic))
    }

    fn unadmitted_of(&self, peer: &P) -> usize {
        let of_peer = |admission: &&crate::pending::Admission<P>| admission.peer == *peer;
        self.admissions.values().filter(of_peer).map(|admission| admission.bytes).sum()
    }

    /// Whether no more messages may be asked for at the moment.
    fn sated(&mut self) -> bool {
        let limits = &self.ctx.config.limits;
        let cap = cap_rate(limits.download_rate);
        self.unadmitted >= limits.unadmitted_bytes || self.download.level(cap, self.ctx.now.monotonic) <= 0.0
    }

    /// What a neighbour said of itself is asked of that neighbour, unless it is much and others can share in it: where only a few messages
    /// of many are missing, others may lack more than that, and sketches for these few would be made for nothing. The rest may be asked
    /// of anybody. A neighbour that is being asked already is waited for.
    fn sort_by_source(
        &self,
        id: GroupId,
        due: Vec<TaskId>,
        (free, able): (&[P], usize),
    ) -> (BTreeMap<P, Vec<TaskId>>, Vec<TaskId>) {
        let (mut promised, mut open) = (BTreeMap::<P, Vec<TaskId>>::new(), Vec::new());
        let Some(group) = self.groups.get(&id) else { return (promised, open) };
        let shared = |task: &&Task<P>| task.claim() > task.theirs / FEW_MISSING;
        let total: u64 = due.iter().filter_map(|task| group.pursuit.task(*task)).filter(shared).map(Task::claim).sum();
        let much = total > self.ctx.config.limits.share && able > 1;
        for id in due {
            let Some(task) = group.pursuit.task(id) else { continue };
            match &task.source {
                Source::Peer(peer)
                    if (!much || !shared(&task) || !task.tried.is_empty())
                        && !task.tried.contains(peer)
                        && self.may_ask(group.config.id, peer) =>
                {
                    if free.contains(peer) {
                        promised.entry(peer.clone()).or_default().push(id);
                    }
                }
                _ => open.push(id),
            }
        }
        (promised, open)
    }

    /// Neighbouring tasks together, in batches of about equal claims, as many as pay.
    fn batches(&self, id: GroupId, tasks: Vec<TaskId>, peers: usize) -> Vec<Vec<TaskId>> {
        let Some(group) = self.groups.get(&id) else { return Vec::new() };
        let claim = |task: &TaskId| group.pursuit.task(*task).map_or(0, |task| task.claim());
        let total: u64 = tasks.iter().map(claim).sum();
        let most = if peers > 1 { peers * BATCHES_PER_PEER } else { 1 };
        let share = self.ctx.config.limits.share.max(total / most.max(1) as u64).max(1);
        let mut batches: Vec<Vec<TaskId>> = Vec::new();
        let mut filled = 0;
        for task in tasks {
            let claim = claim(&task);
            match batches.last_mut() {
                Some(batch) if peers <= 1 || filled + claim <= share => batch.push(task),
                _ => {
                    batches.push(vec![task]);
                    filled = 0;
                }
            }
            filled += claim;
        }
        batches
    }

    /// Whether the peer may hold what the batch is about. If it is the `only` one, it may have got since what it lacked.
    fn suits(&self, id: GroupId, peer: &P, batch: &[TaskId], only: bool) -> bool {
        let (Some(group), Some(entry)) = (self.groups.get(&id), self.peers.peer(peer)) else { return false };
        batch.iter().filter_map(|task| group.pursuit.task(*task)).any(|task| {
            let promising = entry.promising(&id, &task.range, group.repairs, self.ctx.now.monotonic);
            (promising || only) && !task.tried.contains(peer)
        })
    }

    /// No free peer is worth asking: later, and then anybody.
    fn nobody_left(&mut self, id: GroupId, batch: &[TaskId]) {
        let now = self.ctx.now.monotonic;
        let Some(group) = self.groups.get_mut(&id) else { return };
        for task in batch {
            if group.pursuit.unconfirmed(*task, None, now) {
                group.pursuit.forget_tried(*task);
            } else {
                metrics::dropped();
            }
        }
    }

    fn stall(&mut self, id: GroupId) {
        let now = self.ctx.now.monotonic;
        if let Some(group) = self.groups.get_mut(&id) {
            group.pursuit.stall(now);
        }
    }

    /// Asks the index how to ask `peer` about these tasks, part by part.
    fn plan(&mut self, id: GroupId, peer: P, tasks: Vec<TaskId>) {
        let salt = self.ctx.salt();
        let Some(group) = self.groups.get_mut(&id) else { return };
        let tasks: Vec<TaskId> = tasks.into_iter().filter(|task| group.pursuit.task(*task).is_some()).collect();
        let found = || tasks.iter().filter_map(|task| group.pursuit.task(*task));
        let mut differences: Vec<Difference> = found().map(|task| task.difference()).collect();
        let confirmed = found().all(|task| task.by_word_of(&peer));
        let again = found().any(|task| task.way.again);
        for apart in differences.iter_mut().filter_map(|difference| difference.apart.as_mut()) {
            *apart += group.hidden_beyond(*apart).mean();
        }
        let hidden = group.hidden.margin();
        tasks.iter().for_each(|task| group.pursuit.begin(*task));
        self.peers.occupy(&peer, id, true);
        for part in parts(&differences) {
            let tasks = tasks.get(part.clone()).unwrap_or_default().to_vec();
            let job = Job::Plan { salt, differences: differences.clone(), part, confirmed, again, hidden };
            self.index(id, job, Pending::Plan(Plan { peer: peer.clone(), salt, tasks }));
        }
    }

    /// A part of the request is ready: sent in as many frames as it takes.
    pub(crate) fn planned(&mut self, id: GroupId, plan: Plan<P>, ranges: Vec<RangeWant>) {
        let Plan { peer, salt, tasks } = plan;
        if !self.peers.connected(&peer) {
            return self.not_planned(id, Plan { peer, salt, tasks });
        }
        let asked = self.exchanges.values().filter(|exchange| exchange.peer == peer).count();
        let room = self.ctx.config.limits.serving_per_peer.saturating_sub(asked);
        let Some(group) = self.groups.get_mut(&id) else { return };
        let mut left: Vec<(TaskId, KeyRange)> = Vec::new();
        for task in tasks {
            let Some(range) = group.pursuit.task(task).map(|task| task.range) else { continue };
            if overlapping(&ranges, &range, |want| want.range).is_empty() {
                // Nothing to fetch there.
                group.pursuit.finish(task);
            } else {
                left.push((task, range));
            }
        }
        left.sort_unstable_by_key(|(_, range)| *range);
        let mut requests = chunks(ranges, &left, &self.ctx.config.limits);
        // More would be refused as `Busy`; what is left over is planned anew once these are done.
        let now = self.ctx.now.monotonic;
        for (_, tasks) in requests.drain(room.min(requests.len())..) {
            tasks.iter().for_each(|task| group.pursuit.postpone(*task, now));
        }
        if requests.is_empty() {
            self.release(id, &peer);
        }
        for (ranges, tasks) in requests {
            self.send_want(id, peer.clone(), Purpose::Fetch, salt, ranges, tasks);
        }
    }

    pub(crate) fn not_planned(&mut self, id: GroupId, plan: Plan<P>) {
        let now = self.ctx.now.monotonic;
        if let Some(group) = self.groups.get_mut(&id) {
            plan.tasks.iter().for_each(|task| group.pursuit.failed(*task, &plan.peer, now));
        }
        self.release(id, &plan.peer);
    }

    pub(crate) fn send_want(
        &mut self,
        id: GroupId,
        peer: P,
        purpose: Purpose,
        salt: Salt,
        ranges: Vec<RangeWant>,
        tasks: Vec<TaskId>,
    ) {
        let Some(group) = self.groups.get(&id) else { return };
        let request = self.ctx.request();
        let deadline = self.request_deadline();
        let mut exchange = Exchange::new(id, peer.clone(), purpose, salt, deadline);
        exchange.bytes[0] = (HEAD + ranges.iter().map(weight).sum::<usize>()) as u64;
        exchange.asked = ranges.iter().map(Asked::of).collect();
        let depths = tasks.iter().filter_map(|task| group.pursuit.task(*task)).map(|task| task.way.depth);
        exchange.depth = depths.max().unwrap_or(0);
        exchange.tasks = tasks;
        self.exchanges.insert(request, exchange);
        metrics::request(purpose);
        let mut holds = window::settled(&self.ctx.config, &group.config, self.ctx.now.unix);
        // The window may have moved on since the ranges were made; none may start before it.
        holds.from = ranges.first().map_or(holds.from, |want| want.range.start().timestamp().min(holds.from));
        let want = Want { request, group: id, salt, holds, ranges: ranges.into() };
        self.ctx.emit(Action::Send { to: peer, frame: Frame::Want(want) });
    }

    /// When a request is given up if nothing happens from now on.
    pub(crate) fn request_deadline(&self) -> std::time::Duration {
        self.ctx.now.monotonic + self.ctx.config.limits.request_timeout
    }

    /// The peer may be asked again, once nothing of this kind is under way with it. What was narrowed down is all
    /// compared first: it goes into one request.
    pub(crate) fn release(&mut self, id: GroupId, peer: &P) {
        let fetching = |e: &Exchange<P>| e.group == id && e.peer == *peer && e.purpose == Purpose::Fetch;
        let preparing = |(group, pending): &(GroupId, Pending<P>)| *group == id && pending.prepares(peer);
        if !self.exchanges.values().any(fetching) && !self.pending.values().any(preparing) {
            self.peers.occupy(peer, id, false);
        }
        if let Some(group) = self.groups.get_mut(&id) {
            group.pursuit.wake();
        }
    }
}

/// The parts in which differences are planned: of about as many keys each.
fn parts(differences: &[Difference]) -> Vec<Range<usize>> {
    let held = differences.iter().map(|difference| difference.ours).fold(0, u64::saturating_add);
    let size = PART_KEYS.max(held.div_ceil(PARTS));
    let (mut parts, mut start, mut keys) = (Vec::new(), 0, 0u64);
    for (at, difference) in differences.iter().enumerate() {
        keys = keys.saturating_add(difference.ours);
        if keys >= size {
            parts.push(start..at + 1);
            (start, keys) = (at + 1, 0);
        }
    }
    if start < differences.len() {
        parts.push(start..differences.len());
    }
    parts
}

/// One request's ranges, and the tasks that they are about.
type Request = (Vec<RangeWant>, Vec<TaskId>);

/// What a request takes.
#[derive(Clone, Copy, Default)]
struct Size {
    bytes: usize,
    /// Of answering it, in cost units.
    cost: u64,
}

impl Size {
    fn with(self, want: &RangeWant) -> Size {
        Size { bytes: self.bytes + weight(want), cost: self.cost.saturating_add(cost(want)) }
    }

    /// Whether one request may be so large. A quarter of what it may cost is left for what is held there and not here: beyond it, sketches
    /// would be made for nothing.
    fn fits(self, limits: &Limits) -> bool {
        self.bytes <= limits.request_bytes && self.cost <= limits.request_cost / 4 * 3
    }
}

/// Cuts a plan into requests of about so many bytes and so much cost as the limits say, never within a task. Both are in order.
///
/// A range that is asked for whole may go over several tasks. Where a request is full, it is cut between two of them: chained by such
/// ranges, any number of tasks would go into one request, and one with too many ranges cannot be sent.
fn chunks(ranges: Vec<RangeWant>, tasks: &[(TaskId, KeyRange)], limits: &Limits) -> Vec<Request> {
    let mut chunks: Vec<Request> = Vec::new();
    let mut size = Size::default();
    for want in ranges {
        let within = |(id, range): &(TaskId, KeyRange)| Some((*id, range.intersection(&want.range)?));
        let about = overlapping(tasks, &want.range, |(_, range)| *range);
        let about: Vec<(TaskId, KeyRange)> = about.iter().filter_map(within).collect();
        let full = chunks.last().is_some_and(|(ranges, _)| !size.with(&want).fits(limits) || ranges.len() >= RANGES);
        let parts = match &want.ask {
            Ask::All if full && about.len() > 1 => {
                about.into_iter().map(|(id, range)| (RangeWant { range, ask: Ask::All }, vec![id])).collect()
            }
            _ => vec![(want, about.into_iter().map(|(id, _)| id).collect())],
        };
        for (want, about) in parts {
            let with = size.with(&want);
            match chunks.last_mut() {
                // Of the tasks that it is about, only the first may be one that the range before is about.
                Some((ranges, tasks))
                    if (with.fits(limits) && ranges.len() < RANGES)
                        || (!about.is_empty() && about.first() == tasks.last()) =>
                {
                    ranges.push(want);
                    tasks.extend(about);
                    tasks.dedup();
                    size = with;
                }
                _ => {
                    size = Size::default().with(&want);
                    chunks.push((vec![want], about));
                }
            }
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use hearken_wire::{TinyDigest, TinyFingerprint};

    use super::*;

    #[test]
    fn what_would_be_too_costly_goes_in_several_requests() {
        let mut pursuit = crate::pursuit::Pursuit::<u32>::new();
        let sketch = |at: u64| {
            let fingerprint = TinyFingerprint { digest: TinyDigest([0; 4]), count: 1_000_000 };
            let ask = Ask::Sketch { fingerprint, syndromes: vec![0; 80] };
            RangeWant { range: KeyRange::between(at, at + 1), ask }
        };
        let wants: Vec<RangeWant> = (0..40).map(sketch).collect();
        let tasks: Vec<(TaskId, KeyRange)> =
            wants.iter().map(|want| (task(&mut pursuit, want.range), want.range)).collect();
        let limits = Limits::default();
        let requests = chunks(wants.clone(), &tasks, &limits);
        let costs = requests.iter().map(|(ranges, _)| ranges.iter().map(cost).sum::<u64>());
        assert!(costs.clone().all(|cost| cost <= limits.request_cost), "{:?}", costs.collect::<Vec<_>>());
        assert!(requests.len() <= 6, "{} requests", requests.len());
        assert_eq!(requests.into_iter().flat_map(|(ranges, _)| ranges).collect::<Vec<_>>(), wants);
    }

    #[test]
    fn what_holds_many_keys_is_planned_in_parts() {
        let differences = |keys: &[u64]| -> Vec<Difference> {
            let of = |(at, ours): (u64, &u64)| {
                let range = KeyRange::between(at, at + 1);
                Difference { range, theirs: 0, ours: *ours, before: None, apart: None }
            };
            (0..).zip(keys).map(of).collect()
        };
        let sizes = |keys: &[u64]| parts(&differences(keys)).into_iter().map(|part| part.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), Vec::<usize>::new());
        assert_eq!(sizes(&[0; 100]), [100], "nothing to sketch");
        assert_eq!(sizes(&[PART_KEYS / 4; 3]), [3]);
        assert_eq!(sizes(&[PART_KEYS / 4; 10]), [4, 4, 2]);
        assert_eq!(sizes(&[u64::MAX, 1, u64::MAX]), [1, 2], "a range is not cut here");
        let many = vec![PART_KEYS; 1_000];
        assert_eq!(sizes(&many).len() as u64, PARTS);
        let all: Vec<usize> = parts(&differences(&many)).into_iter().flatten().collect();
        assert_eq!(all, (0..many.len()).collect::<Vec<_>>(), "each range is in one part");
    }

    fn task(pursuit: &mut crate::pursuit::Pursuit<u32>, range: KeyRange) -> TaskId {
        let difference = Difference { range, theirs: 0, ours: 0, before: None, apart: None };
        pursuit.lock(difference, Source::Hint, crate::pursuit::Way::default())
    }
}
