//! The engine: events in, actions out. What each kind of event leads to lies in a file of its own.
use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Debug,
    time::Duration,
};

use hearken_tree::GroupId;
use hearken_wire::{Frame, RequestId};

use crate::{
    Action, Config, Event, GroupConfig, IndexFailed, InvalidConfig, Job, JobResult, Now, Offence, Ticket, Trigger,
    bucket::{Bucket, cap_rate},
    context::Context,
    exchange::{Exchange, Purpose},
    group::{Doubt, Group, Suspect},
    metrics,
    peers::Peers,
    pending::{Admission, Pending},
    serving::Serving,
};

/// The anti-entropy engine of one node. `P` names a peer.
///
/// Feed it every [`Event`] with the time at which it happened, then take actions with [`Engine::poll_action`] until there
/// are none, then wait for the next event or [`Engine::next_deadline`], whichever comes first.
pub struct Engine<P> {
    pub(crate) ctx: Context<P>,
    pub(crate) groups: BTreeMap<GroupId, Group<P>>,
    pub(crate) peers: Peers<P>,
    pub(crate) pending: BTreeMap<Ticket, (GroupId, Pending<P>)>,
    pub(crate) exchanges: BTreeMap<RequestId, Exchange<P>>,
    pub(crate) admissions: BTreeMap<Ticket, Admission<P>>,
    pub(crate) serving: BTreeMap<(P, RequestId), Serving>,
    pub(crate) unadmitted: usize,
    pub(crate) cancelled: VecDeque<RequestId>,
    pub(crate) paused: bool,
    /// What may still be served to all, and asked from all.
    pub(crate) upload: Bucket,
    pub(crate) download: Bucket,
}

impl<P: Clone + Ord + Debug> Engine<P> {
    /// An engine for these groups. The same seed and events give the same actions.
    pub fn new(
        config: Config,
        groups: impl IntoIterator<Item = GroupConfig>,
        seed: u64,
        now: Now,
    ) -> Result<Engine<P>, InvalidConfig> {
        config.validate()?;
        let [upload, download] = [config.limits.upload_rate, config.limits.download_rate]
            .map(|cap| Bucket::full(cap_rate(cap), now.monotonic));
        let mut engine = Engine {
            ctx: Context::new(config, seed, now),
            groups: BTreeMap::new(),
            peers: Peers::new(),
            pending: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            admissions: BTreeMap::new(),
            serving: BTreeMap::new(),
            unadmitted: 0,
            cancelled: VecDeque::new(),
            paused: false,
            upload,
            download,
        };
        for group in groups {
            engine.ctx.config.validate_group(&group)?;
            let id = group.id;
            let state = Group::new(group, &mut engine.ctx);
            if engine.groups.insert(id, state).is_some() {
                return Err(InvalidConfig::Twice(id));
            }
        }
        Ok(engine)
    }

    /// Something happened. Never panics, whatever a peer sent.
    pub fn handle(&mut self, event: Event<P>, now: Now) {
        self.pass(now);
        match event {
            Event::Wake => {}
            Event::Connected(peer) => self.on_connected(peer),
            Event::Disconnected(peer) => self.on_disconnected(&peer),
            Event::Unsupported(peer) => self.on_unsupported(&peer),
            Event::Gossip { from, id, ihave } => self.on_gossip(from, id, ihave),
            Event::Frame { from, frame } => self.on_frame(from, frame),
            Event::Garbage(peer) => {
                self.offend(&peer, Offence::Garbage);
                self.give_up_on(&peer);
            }
            Event::SendFailed { to, request } => self.on_send_failed(&to, request),
            Event::Indexed { ticket, result } => self.on_indexed(ticket, result),
            Event::Admitted { ticket, outcome } => self.on_admitted(ticket, outcome),
            Event::Served { to, request, outcome } => self.on_served(to, request, outcome),
            Event::Live(group) => self.on_live(&group),
            Event::KeptFrom(unix) => self.on_kept_from(unix),
            Event::SyncNow(group) => self.want_probe(group, Trigger::Manual),
        }
        self.tick();
    }

    /// It is that late now.
    pub(crate) fn pass(&mut self, now: Now) {
        self.ctx.now = Now { monotonic: now.monotonic.max(self.ctx.now.monotonic), unix: now.unix };
    }

    /// The next thing to do, if any.
    pub fn poll_action(&mut self) -> Option<Action<P>> {
        self.ctx.next_action()
    }

    /// When [`Event::Wake`] is due, in the monotone time of [`Now`]; `None` if nothing is planned.
    pub fn next_deadline(&self) -> Option<Duration> {
        let groups = self.groups.values().filter_map(|group| self.group_deadline(group));
        let requests = self.exchanges.values().filter(|exchange| exchange.admitting == 0).map(|e| e.deadline);
        groups.chain(requests).min()
    }

    /// Bytes of delivered messages that wait in [`Action::Admit`]. Above
    /// [`unadmitted_bytes`](crate::Limits::unadmitted_bytes) the driver should stop reading from streams.
    pub fn unadmitted_bytes(&self) -> usize {
        self.unadmitted
    }

    fn group_deadline(&self, group: &Group<P>) -> Option<Duration> {
        if self.paused {
            return None;
        }
        let config = &self.ctx.config;
        let timers = [
            config.announce.then(|| group.trickle.deadline()),
            config.probe.then_some(group.probe_at),
            (!config.idle_trigger.is_zero()).then_some(group.idle_at),
            group.pursuit.deadline(),
            group.suspects.values().map(|suspect| suspect.at).min(),
        ];
        timers.into_iter().flatten().min()
    }

    pub(crate) fn tick(&mut self) {
        self.expire();
        if self.paused {
            return;
        }
        let groups: Vec<GroupId> = self.groups.keys().copied().collect();
        for group in groups {
            self.tick_announcer(group);
            self.tick_probes(group);
            self.pursue(group);
            self.follow_up(group);
            self.tell(group);
        }
    }

    fn on_frame(&mut self, from: P, frame: Frame) {
        match frame {
            Frame::Want(want) => self.on_want(from, want),
            Frame::Answer(answer) => self.on_answer(&from, answer),
            Frame::Messages { request, messages } => self.on_messages(&from, request, messages),
            Frame::Done { request } => self.on_done(&from, request),
            Frame::Refusal(refusal) => self.on_refusal(&from, refusal),
            Frame::Cancel { request } => self.on_cancel(from, request),
        }
    }

    fn on_connected(&mut self, peer: P) {
        let now = self.ctx.now.monotonic;
        if self.peers.connect(peer.clone(), &self.ctx.config.limits, now) {
            self.greet(&peer);
        }
    }

    fn on_disconnected(&mut self, peer: &P) {
        self.peers.disconnect(peer, self.ctx.now.monotonic);
        for group in self.groups.values_mut() {
            group.suspects.remove(peer);
            group.vain.forget(peer);
            group.pursuit.orphan(peer);
        }
        self.give_up_on(peer);
        self.stop_serving(peer);
    }

    fn on_unsupported(&mut self, peer: &P) {
        let until = self.ctx.now.monotonic + self.ctx.config.limits.unsupported;
        self.peers.unsupported(peer, until);
        self.give_up_on(peer);
    }

    fn on_live(&mut self, group: &GroupId) {
        let idle_at = self.ctx.now.monotonic + self.ctx.config.idle_trigger;
        if let Some(group) = self.groups.get_mut(group) {
            group.idle_at = idle_at;
        }
    }

    /// Asks the driver for index work; [`Engine::on_indexed`] takes up from there.
    pub(crate) fn index(&mut self, group: GroupId, job: Job, pending: Pending<P>) {
        let ticket = self.ctx.ticket();
        self.pending.insert(ticket, (group, pending));
        self.ctx.emit(Action::Index { ticket, group, job });
    }

    fn on_indexed(&mut self, ticket: Ticket, result: Result<JobResult, IndexFailed>) {
        let Some((group, pending)) = self.pending.remove(&ticket) else { return };
        let result = match result {
            Ok(result) => result,
            Err(error) => {
                tracing::warn!(%group, %error, "index work failed");
                return self.index_failed(group, pending);
            }
        };
        match (pending, result) {
            (Pending::Announce { spans }, JobResult::Summary(ihave)) => self.announce(group, spans, ihave),
            (Pending::Announce { spans }, JobResult::TooLong(size)) => self.summarise_shorter(group, spans, size),
            (Pending::Probe(probe), JobResult::Fingerprint(root)) => self.send_probe(group, probe, root),
            (Pending::Heard { window, salt }, JobResult::Compared(compared)) => {
                self.heard(group, window, salt, compared);
            }
            (Pending::Finer(finer), JobResult::Compared(compared)) => {
                let peer = finer.peer.clone();
                self.compared(group, finer, compared);
                self.release(group, &peer);
            }
            (Pending::Plan(plan), JobResult::Planned(ranges)) => self.planned(group, plan, ranges),
            (Pending::Answer(asker), JobResult::Answered { verdicts, selection, cost }) => {
                self.answered(group, asker, verdicts, selection, cost);
            }
            (pending, _) => {
                debug_assert!(false, "the driver mixed up tickets");
                self.index_failed(group, pending);
            }
        }
    }

    fn index_failed(&mut self, group: GroupId, pending: Pending<P>) {
        match pending {
            Pending::Announce { .. } => self.announcing(group, false),
            Pending::Probe(probe) => self.probe_failed(group, probe),
            Pending::Heard { .. } => self.not_heard(group),
            Pending::Finer(finer) => {
                let peer = finer.peer.clone();
                self.not_compared(group, finer);
                self.release(group, &peer);
            }
            Pending::Plan(plan) => self.not_planned(group, plan),
            Pending::Answer(asker) => self.not_answered(asker),
        }
    }

    /// A peer broke the protocol.
    pub(crate) fn offend(&mut self, peer: &P, offence: Offence) {
        let (now, limits) = (self.ctx.now.monotonic, &self.ctx.config.limits);
        let penalty = &mut self.peers.entry(peer, limits, now).penalty;
        let muted = penalty.offend(offence, limits, now);
        metrics::offence(offence, muted);
        metrics::penalty(peer, penalty.points());
        tracing::debug!(?peer, ?offence, muted, "a peer broke the protocol");
        self.ctx.emit(Action::Report { peer: peer.clone(), offence });
        if offence != Offence::Flood {
            self.disbelieve(peer);
        }
        if muted {
            self.give_up_on(peer);
        } else if offence != Offence::Flood {
            self.ask_again(peer);
        }
    }

    /// What it said is worth nothing, and it may have been asked in place of others, after a start or a repair: one of them is probed,
    /// unless that is being done already, or all are known to be equal.
    fn disbelieve(&mut self, liar: &P) {
        let groups: Vec<GroupId> = self.groups.keys().copied().collect();
        for id in groups {
            let probing = |e: &Exchange<P>| e.group == id && e.peer != *liar && matches!(e.purpose, Purpose::Probe(_));
            let needless = self.exchanges.values().any(probing) || self.all_equal(id);
            if let Some(group) = self.groups.get_mut(&id) {
                group.pursuit.disbelieve(liar);
                group.tail.disbelieve(liar);
                if !needless {
                    group.wanted.get_or_insert(Trigger::Doubt);
                }
            }
        }
    }

    /// Who has lied once is probed in the next interval, so that who always lies is soon known.
    fn ask_again(&mut self, peer: &P) {
        if let Some(id) = self.groups.keys().next().copied() {
            self.look_again(id, peer, self.ctx.config.interval_min, Doubt::Unsettled);
        }
    }

    /// The peer is probed after so long.
    pub(crate) fn look_again(&mut self, id: GroupId, peer: &P, after: Duration, why: Doubt) {
        let at = self.ctx.now.monotonic + after;
        if let Some(group) = self.groups.get_mut(&id) {
            group.suspects.insert(peer.clone(), Suspect { at, why });
        }
    }

    /// A peer failed without being to blame.
    pub(crate) fn rest(&mut self, peer: &P) {
        let now = self.ctx.now.monotonic;
        if let Some(peer) = self.peers.peer_mut(peer) {
            peer.penalty.fail(now);
        }
    }
}
