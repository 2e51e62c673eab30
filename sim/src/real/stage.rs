//! The timeline of a real run.

use std::{
    collections::BTreeMap,
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
    tap::Tap,
    watched::{HEAD, TOPIC, Watched, body},
    wires::Map,
};
use crate::{
    net::{Nanos, NodeId, nanos, node_id, queue::Queue, seconds},
    run::{Bits, Counters, EPOCH, Facts, Next, NodeFacts, Outcome, Plan, grouped, late, left_over, show_time},
    scenario::{Archive as Left, EventKind, Scenario},
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
    refuses: Vec<f64>,
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
        let mut pages = Pages::default();
        let (mut skews, mut refuses) = (Vec::new(), Vec::new());
        for settings in &plan.settings {
            let window = settings.iter().rev().find_map(|some| some.window).unwrap_or(scenario.sync.window);
            let skew = settings.iter().rev().find_map(|some| some.skew).map_or(0, |skew| skew.0);
            let control_topic = hearken::control_topic(TOPIC);
            let tap = Tap { control_topic, control_ids: Arc::clone(&control_ids), ..Tap::default() };
            skews.push(Arc::new(AtomicI64::new(skew)));
            refuses.push(settings.iter().rev().find_map(|some| some.refuses).unwrap_or(0.0));
            let class = pages.ledger.class(window);
            pages.nodes.push(Entry {
                up: false,
                class,
                holds: Bits::default(),
                counters: Counters::default(),
                recovery: None,
                config: Config { window, ..scenario.sync.clone() },
                window,
                tap: Arc::new(tap),
            });
        }
        let latencies = (0..nodes).map(|node| {
            let links = plan.links.of(node_id(node)).iter();
            links.map(|link| (link.peer, Arc::new(AtomicU64::new(link.latency)))).collect()
        });
        let ports = (0..nodes).map(|_| AtomicU64::new(0)).collect();
        let map = Arc::new(Map { ports, latencies: latencies.collect() });
        let peers = (0..nodes).map(|node| Ok(identity(node_id(node))?.public().to_peer_id()));
        let peers = peers.collect::<Result<_, RealError>>()?;
        let shared = Arc::new(Shared {
            scenario: scenario.clone(),
            books: Books::open(pages),
            map,
            peers,
            delivery_loss: AtomicU64::new(millionths(scenario.gossipsub.delivery_loss)),
            events: AtomicU64::new(0),
        });
        let books = &shared.books;
        let archives =
            (0..nodes).map(|node| Arc::new(Watched::new(books.clone(), node_id(node), refuses[node], scenario)));
        Ok(Stage {
            scenario,
            archives: archives.collect(),
            shared,
            running: BTreeMap::new(),
            skews,
            refuses,
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
        for (node, settings) in self.plan.settings.iter().enumerate() {
            let lacks = settings.iter().rev().find(|some| some.missing.is_some() || some.gap.is_some());
            let held = match lacks {
                Some(some) => left_over(&everything, some, &mut self.plan.other),
                None => everything.clone(),
            };
            for message in held {
                if let Some((key, size)) = stored.get(message as usize) {
                    self.archives[node].own(body(key, *size), EPOCH);
                }
            }
        }
        // That is what was there, not what came.
        self.shared.books.pages().nodes.iter_mut().for_each(|entry| entry.counters = Counters::default());
    }

    fn start(&mut self, node: NodeId, lost: bool) -> Result<(), RealError> {
        let at = node as usize;
        if lost {
            let books = self.shared.books.clone();
            self.archives[at] = Arc::new(Watched::new(books, node, self.refuses[at], self.scenario));
        }
        self.shared.books.pages().comes(node, lost);
        let running = Running::start(&self.shared, node, self.archives[at].clone(), self.skews[at].clone())?;
        self.running.insert(node, running);
        Ok(())
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
        running.archive.own(body(&key, size), unix);
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
                        running.kill().await;
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
            (kind, begins) => self.change(kind, index, &befallen, begins),
        }
        Ok(())
    }

    fn change(&mut self, kind: EventKind, index: usize, nodes: &[NodeId], begins: bool) {
        let event = &self.scenario.events[index];
        match kind {
            EventKind::Loss => {
                let usual = self.scenario.gossipsub.delivery_loss;
                let loss = event.delivery_loss.filter(|_| begins).unwrap_or(usual);
                self.shared.delivery_loss.store(millionths(loss), Ordering::Relaxed);
            }
            EventKind::Skew => {
                let by = event.by.unwrap_or_default().0;
                for node in nodes {
                    self.skews[*node as usize].fetch_add(if begins { by } else { -by }, Ordering::Relaxed);
                }
            }
            EventKind::Slow => {
                let lag = event.latency.map_or(0, nanos);
                for (from, links) in (0..).map(node_id).zip(&self.shared.map.latencies) {
                    for (to, latency) in links {
                        let slow = [from, *to].iter().filter(|end| nodes.contains(end)).count() as u64;
                        let by = lag * slow;
                        let change = if begins { AtomicU64::fetch_add } else { AtomicU64::fetch_sub };
                        change(latency, by, Ordering::Relaxed);
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
        let (mut muted, mut offences) = (0, Vec::new());
        for (node, running) in &self.running {
            let report = running.hearken.report().await;
            let peers = report.map(|report| report.peers).unwrap_or_default();
            muted += peers.iter().filter(|peer| peer.muted_for.is_some()).count() as u64;
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
            hostile: false,
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
            muted_hostile: 0,
        };
        Outcome::of(&facts, 0.0, 0)
    }
}

fn millionths(share: f64) -> u64 {
    crate::net::whole(share * 1e6)
}
