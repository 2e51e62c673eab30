//! The timeline of a real run.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{IsTerminal as _, Write as _},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use hearken_scheduler::Config;
use hearken_tree::Key;
use tokio::time::{Instant, sleep_until};

use super::{
    RealError,
    books::{Books, Entry, Pages},
    host::{Running, Shared, identity},
    path::{Weather, lock},
    tap::Tap,
    watched::{HEAD, TOPIC, Watched, body},
    wires::Map,
};
use crate::{
    net::{Nanos, NodeId, nanos, node_id, queue::Queue, seconds},
    run::{Bits, Counters, EPOCH, Facts, Next, NodeFacts, Outcome, Plan, grouped, late, left_over, show_time},
    scenario::{Archive as Left, EventKind, Scenario, TimedEvent},
};

/// Connections are looked after so often.
const TEND_EVERY: Nanos = 100_000_000;
/// A node that was dialled is given so long.
const DIAL_AGAIN: Nanos = 3_000_000_000;
const SAMPLES: u64 = 240;

enum Cue {
    Publish(Next),
    Begin(usize),
    End(usize),
    Tend,
    Sample,
}

struct Stage<'a> {
    scenario: &'a Scenario,
    shared: Arc<Shared>,
    running: BTreeMap<NodeId, Running>,
    archives: Vec<Arc<Watched>>,
    skews: Vec<Arc<AtomicI64>>,
    plan: Plan<'a>,
    cues: Queue<Cue>,
    part: Vec<u32>,
    /// When each pair of neighbours is dialled next, while it can be connected and is not.
    dial_at: BTreeMap<(NodeId, NodeId), Nanos>,
    last_event: Nanos,
}

/// Runs the scenario to its end.
pub(super) async fn play(scenario: &Scenario, show: bool) -> Result<Outcome, RealError> {
    let mut stage = Stage::set(scenario)?;
    stage.open()?;
    let began = stage.shared.books.began();
    let end = nanos(scenario.duration);
    let show = show && std::io::stderr().is_terminal();
    while let Some((at, cue)) = stage.cues.pop().filter(|(at, _)| *at <= end) {
        sleep_until(Instant::from_std(began + Duration::from_nanos(at))).await;
        let sampled = matches!(cue, Cue::Sample);
        stage.follow(at, cue).await?;
        if show && sampled {
            let missing = stage.shared.books.pages().measure.samples.last().map_or(0, |sample| sample.missing);
            let (now, end) = (show_time(seconds(at)), show_time(seconds(end)));
            eprint!("\r\x1b[2K{now} of {end}, {} missing", grouped(missing));
            let _ = std::io::stderr().flush();
        }
    }
    if show {
        eprint!("\r\x1b[2K");
    }
    Ok(stage.close(end).await)
}

impl<'a> Stage<'a> {
    fn set(scenario: &'a Scenario) -> Result<Stage<'a>, RealError> {
        let plan = Plan::new(scenario);
        let nodes = scenario.network.nodes;
        let control_ids = Arc::new(Mutex::default());
        let undurable = scenario.events.iter().filter_map(|event| event.undurable).map(nanos).max().unwrap_or(0);
        let mut pages = Pages { undurable, ..Pages::default() };
        let turns = |node: usize| {
            let turns = |(event, whom): (&TimedEvent, &Vec<NodeId>)| {
                event.kind == EventKind::Hostile && whom.contains(&node_id(node))
            };
            scenario.events.iter().zip(&plan.befalls).any(turns)
        };
        for (node, one) in plan.traits.iter().enumerate() {
            let control_topic = hearken::control_topic(TOPIC);
            let control_ids = Arc::clone(&control_ids);
            let twisted = one.hostile.is_some() || turns(node);
            let hostile = Mutex::new(one.hostile);
            let tap = Tap { control_topic, control_ids, twisted, hostile, ..Tap::default() };
            let class = pages.ledger.class(one.window);
            pages.nodes.push(Entry {
                up: false,
                hostile: one.hostile.is_some(),
                class,
                holds: Bits::default(),
                counters: Counters::default(),
                recovery: None,
                config: Config { window: one.window, ..scenario.sync.clone() },
                window: one.window,
                tap: Arc::new(tap),
                recent: VecDeque::new(),
            });
        }
        let latencies = (0..nodes).map(|node| {
            let links = plan.links.of(node_id(node)).iter();
            links.map(|link| (link.peer, link.latency)).collect()
        });
        let books = Books::open(pages);
        let weather = Weather::new(books.began(), nanos(scenario.network.jitter), scenario.network.loss);
        let map = Arc::new(Map {
            ports: (0..nodes).map(|_| AtomicU64::new(0)).collect(),
            latencies: latencies.collect(),
            access: plan.traits.iter().map(|one| Arc::new(Mutex::new(one.port))).collect(),
            weather: Arc::new(weather),
        });
        let peers = (0..nodes).map(|node| Ok(identity(node_id(node))?.public().to_peer_id()));
        let peers = peers.collect::<Result<_, RealError>>()?;
        let shared = Arc::new(Shared {
            scenario: scenario.clone(),
            books: books.clone(),
            map,
            peers,
            delivery_loss: AtomicU64::new(millionths(scenario.gossipsub.delivery_loss)),
            events: AtomicU64::new(0),
        });
        let archives = plan
            .traits
            .iter()
            .enumerate()
            .map(|(node, one)| Arc::new(Watched::new(books.clone(), node_id(node), one.refuses, scenario)));
        let skews = plan.traits.iter().map(|one| Arc::new(AtomicI64::new(one.skew)));
        Ok(Stage {
            scenario,
            archives: archives.collect(),
            shared,
            running: BTreeMap::new(),
            skews: skews.collect(),
            plan,
            cues: Queue::new(),
            part: vec![0; nodes],
            dial_at: BTreeMap::new(),
            last_event: 0,
        })
    }

    /// Fills the archives, starts the nodes, and notes what is to happen.
    fn open(&mut self) -> Result<(), RealError> {
        self.fill();
        let late = late(self.scenario, &self.plan.befalls);
        for node in (0..self.part.len()).map(node_id).filter(|node| !late.contains(node)) {
            self.start(node, false)?;
        }
        let mut pages = self.shared.books.pages();
        pages.ledger.settle();
        (0..self.part.len()).for_each(|node| pages.start_recovery(node_id(node), 0));
        drop(pages);
        self.may_dial(nanos(self.scenario.network.start_spread), 0);
        for (index, event) in self.scenario.events.iter().enumerate() {
            let at = nanos(event.at);
            self.cues.push(at, Cue::Begin(index));
            if let Some(lasts) = event.lasts {
                self.cues.push(at + nanos(lasts), Cue::End(index));
            }
        }
        if let Some((at, next)) = self.plan.traffic.first() {
            self.cues.push(at, Cue::Publish(next));
        }
        self.cues.push(0, Cue::Tend);
        self.cues.push(0, Cue::Sample);
        Ok(())
    }

    fn fill(&mut self) {
        let stored = self.plan.traffic.stored();
        let mut pages = self.shared.books.pages();
        let publish = |(key, size): &(Key, u32)| pages.ledger.publish(*key, (*size).max(HEAD), 0);
        let everything: Vec<_> = stored.iter().map(publish).collect();
        drop(pages);
        for (node, one) in self.plan.traits.iter().enumerate() {
            let held = match one.lacks {
                Some(some) => left_over(&everything, some, &mut self.plan.other),
                None => everything.clone(),
            };
            for message in held {
                if let Some((key, size)) = stored.get(message as usize) {
                    self.archives[node].own(*key, (*size).max(HEAD), EPOCH);
                }
            }
        }
        // That is what was there, not what came.
        self.shared.books.pages().nodes.iter_mut().for_each(|entry| entry.counters = Counters::default());
    }

    fn start(&mut self, node: NodeId, lost: bool) -> Result<(), RealError> {
        let at = node as usize;
        if lost {
            self.archives[at] = Arc::new(self.new_archive(node));
        }
        self.shared.books.pages().comes(node, lost);
        let running = Running::start(&self.shared, node, self.archives[at].clone(), self.skews[at].clone())?;
        self.running.insert(node, running);
        Ok(())
    }

    fn new_archive(&self, node: NodeId) -> Watched {
        let refuses = self.plan.traits[node as usize].refuses;
        Watched::new(self.shared.books.clone(), node, refuses, self.scenario)
    }

    async fn follow(&mut self, at: Nanos, cue: Cue) -> Result<(), RealError> {
        match cue {
            Cue::Publish(next) => {
                let (publisher, sizes) = self.plan.traffic.now(next);
                sizes.into_iter().for_each(|size| self.publish(publisher, size));
                if let Some((at, next)) = self.plan.traffic.after(at, next) {
                    self.cues.push(at, Cue::Publish(next));
                }
            }
            Cue::Begin(index) => self.happen(index, true).await?,
            Cue::End(index) => self.happen(index, false).await?,
            Cue::Tend => {
                self.tend();
                self.cues.push(at + TEND_EVERY, Cue::Tend);
            }
            Cue::Sample => {
                let sync = &self.scenario.sync;
                let now = self.shared.books.now().min(nanos(self.scenario.duration));
                self.shared.books.pages().sample(now, sync.settle_delay + sync.horizon_grid);
                self.cues.push(at + (nanos(self.scenario.duration) / SAMPLES).max(1), Cue::Sample);
            }
        }
        Ok(())
    }

    fn publish(&mut self, publisher: NodeId, size: u32) {
        let Some(running) = self.running.get(&publisher) else { return };
        let (now, id) = (self.shared.books.now(), self.plan.traffic.id());
        let unix = (EPOCH + now).saturating_add_signed(self.skews[publisher as usize].load(Ordering::Relaxed));
        let (key, size) = (Key::new(unix, id), size.max(HEAD));
        self.shared.books.pages().ledger.publish(key, size, now);
        running.archive.own(key, size, unix);
        running.publish(body(&key, size));
    }

    async fn happen(&mut self, index: usize, begins: bool) -> Result<(), RealError> {
        let event = &self.scenario.events[index];
        let befallen = self.plan.befalls[index].clone();
        self.last_event = self.shared.books.now();
        let redial = nanos(self.scenario.network.redial);
        match (event.kind, begins) {
            (EventKind::Join, true) | (EventKind::Crash, false) => {
                for node in befallen.into_iter().filter(|node| !self.running.contains_key(node)).collect::<Vec<_>>() {
                    self.start(node, event.archive == Some(Left::Lost))?;
                    self.shared.books.pages().start_recovery(node, self.last_event);
                }
                self.may_dial(redial, self.last_event);
            }
            (EventKind::Leave | EventKind::Crash, true) => {
                for node in befallen {
                    if let Some(running) = self.running.remove(&node) {
                        let now = self.shared.books.now();
                        self.shared.books.pages().goes(node, now);
                        self.note_suppressed(node, &running).await;
                        running.kill().await;
                        if let Some(undurable) = event.undurable {
                            self.lose(node, now.saturating_sub(nanos(undurable)));
                        }
                    }
                }
            }
            (EventKind::Partition, true) => {
                self.part.fill(0);
                for (part, members) in (1..).zip(&event.parts) {
                    let members = members.pick(self.part.len(), &mut self.plan.other);
                    members.into_iter().for_each(|node| self.part[node as usize] = part);
                }
                self.tend();
            }
            (EventKind::Heal, true) | (EventKind::Partition, false) => {
                self.part.fill(0);
                self.may_dial(redial, self.last_event);
                let mut pages = self.shared.books.pages();
                (0..self.part.len()).for_each(|node| pages.start_recovery(node_id(node), self.last_event));
            }
            (EventKind::Burst, true) => {
                let publishers = if befallen.is_empty() { self.plan.traffic.publishers.clone() } else { befallen };
                for (_, publisher) in (0..event.messages.unwrap_or(0)).zip(publishers.iter().cycle()) {
                    let size = self.plan.traffic.size();
                    self.publish(*publisher, size);
                }
            }
            (EventKind::Settings, begins) => self.settings(index, &befallen, begins)?,
            (EventKind::Hostile, begins) => {
                let mut pages = self.shared.books.pages();
                for (node, harm) in befallen.iter().zip(event.harms()) {
                    pages.turn(*node, begins.then_some(harm), self.last_event);
                }
            }
            (kind, begins) => self.change(kind, index, &befallen, begins),
        }
        Ok(())
    }

    /// Takes from a node's task what it alone has counted.
    async fn note_suppressed(&self, node: NodeId, running: &Running) {
        let groups = running.hearken.report().await.map(|report| report.groups).unwrap_or_default();
        let suppressed: u64 = groups.iter().map(|group| group.suppressed).sum();
        self.shared.books.pages().nodes[node as usize].counters.suppressed += suppressed;
    }

    /// Power has failed at a node: what came since then was not durable yet.
    fn lose(&mut self, node: NodeId, since: Nanos) {
        let lost = self.shared.books.pages().lose(node, since);
        let (at, archive) = (node as usize, self.new_archive(node));
        archive.take_over(&self.archives[at], &lost, EPOCH + self.shared.books.now());
        archive.full.store(self.archives[at].full.load(Ordering::Relaxed), Ordering::Relaxed);
        self.archives[at] = Arc::new(archive);
    }

    fn settings(&mut self, index: usize, nodes: &[NodeId], begins: bool) -> Result<(), RealError> {
        let settings = self.scenario.settings_from(&self.scenario.events[index], begins);
        for node in nodes {
            let window = self.plan.traits[*node as usize].window;
            let config = Config { window, ..settings.clone() };
            self.shared.books.pages().nodes[*node as usize].config = config.clone();
            if let Some(running) = self.running.get(node) {
                let changed = running.hearken.reconfigure(config);
                changed.map_err(|why| RealError::Settings { node: *node, why: Box::new(why) })?;
            }
        }
        Ok(())
    }

    fn change(&mut self, kind: EventKind, index: usize, nodes: &[NodeId], begins: bool) {
        let event = &self.scenario.events[index];
        match kind {
            EventKind::Loss => {
                let usual = (self.scenario.network.loss, self.scenario.gossipsub.delivery_loss);
                let now = (event.loss.unwrap_or(usual.0), event.delivery_loss.unwrap_or(usual.1));
                let (loss, delivery_loss) = if begins { now } else { usual };
                self.shared.map.weather.set_loss(loss);
                self.shared.delivery_loss.store(millionths(delivery_loss), Ordering::Relaxed);
            }
            EventKind::Skew => {
                let by = event.by.unwrap_or_default().0;
                for node in nodes {
                    self.skews[*node as usize].fetch_add(if begins { by } else { -by }, Ordering::Relaxed);
                }
            }
            EventKind::Slow => {
                for node in nodes {
                    let mut port = lock(&self.shared.map.access[*node as usize]);
                    if begins {
                        port.slow_down(event.upload.map(|upload| upload.0), event.latency.map_or(0, nanos));
                    } else {
                        port.recover();
                    }
                }
            }
            EventKind::DiskFull => {
                for node in nodes {
                    self.archives[*node as usize].full.store(begins, Ordering::Relaxed);
                    if !begins {
                        self.shared.books.pages().start_recovery(*node, self.last_event);
                    }
                }
            }
            _ => {}
        }
    }

    /// Neighbours that can be connected are, within `spread`.
    fn may_dial(&mut self, spread: Nanos, now: Nanos) {
        for pair in self.plan.links.pairs() {
            if self.able(pair) && !self.dial_at.contains_key(&pair) {
                self.dial_at.insert(pair, now + self.plan.other.below(spread.max(1)));
            }
        }
    }

    fn able(&self, (a, b): (NodeId, NodeId)) -> bool {
        let up = self.running.contains_key(&a) && self.running.contains_key(&b);
        up && self.part[a as usize] == self.part[b as usize]
    }

    /// Dials who should be connected, and hangs up where a partition lies between.
    fn tend(&mut self) {
        let now = self.shared.books.now();
        for (a, b) in self.plan.links.pairs() {
            let connected = self.running.get(&a).is_some_and(|running| running.is_connected(b));
            if !self.able((a, b)) {
                self.dial_at.remove(&(a, b));
                if let Some(running) = self.running.get(&a).filter(|_| connected) {
                    running.disconnect(b);
                }
            } else if connected {
                self.dial_at.remove(&(a, b));
            } else {
                let at = self.dial_at.entry((a, b)).or_insert(now);
                if *at <= now {
                    *at = now + DIAL_AGAIN;
                    if let Some(running) = self.running.get(&a) {
                        running.dial(b);
                    }
                }
            }
        }
    }

    async fn close(self, end: Nanos) -> Outcome {
        let hostile: Vec<bool> = self.shared.books.pages().nodes.iter().map(|entry| entry.hostile).collect();
        let hostile = |node: usize| hostile[node];
        let (mut muted, mut muted_hostile, mut offences) = (0, 0, Vec::new());
        for (node, running) in self.running.iter().filter(|(node, _)| !hostile(**node as usize)) {
            self.note_suppressed(*node, running).await;
            let report = running.hearken.report().await;
            let peers = report.map(|report| report.peers).unwrap_or_default();
            for peer in peers.iter().filter(|peer| peer.muted_for.is_some()) {
                let known = self.shared.peers.iter().position(|name| *name == peer.peer);
                *(if known.is_some_and(hostile) { &mut muted_hostile } else { &mut muted }) += 1;
            }
            offences.push((*node, peers.iter().map(|peer| u64::from(peer.points)).sum::<u64>()));
        }
        let books = self.shared.books.clone();
        let mut pages = books.pages();
        let sync = &self.scenario.sync;
        pages.sample(end, sync.settle_delay + sync.horizon_grid);
        for (node, points) in offences {
            pages.nodes[node as usize].counters.offences = points;
        }
        for entry in &mut pages.nodes {
            let pushed = entry.tap.pushed.load(Ordering::Relaxed);
            entry.counters.live[1] = pushed.saturating_sub(entry.counters.live[0]);
        }
        let nodes = pages.nodes.iter().map(|entry| NodeFacts {
            counters: &entry.counters,
            up: entry.up,
            hostile: entry.hostile,
            class: entry.class,
            holds: &entry.holds,
            recovering: entry.recovery.is_some(),
        });
        let facts = Facts {
            scenario: self.scenario,
            mode: "real",
            ledger: &pages.ledger,
            measure: &pages.measure,
            nodes: nodes.collect(),
            end,
            last_event: self.last_event,
            events: self.shared.events.load(Ordering::Relaxed),
            muted,
            muted_hostile,
            lies: crate::run::Lies::default(),
        };
        Outcome::of(&facts, 0.0, 0)
    }
}

fn millionths(share: f64) -> u64 {
    crate::net::whole(share * 1e6)
}
