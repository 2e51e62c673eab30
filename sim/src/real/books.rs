//! Who holds what, and since when, as the archives say.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hearken_scheduler::Config;
use hearken_tree::Key;

use super::tap::Tap;
use crate::{
    net::{Nanos, NodeId, nanos, seconds},
    run::{Bits, Counters, Ledger, Measure, MessageId, Recovery, Sample},
    scenario::Hostile,
};

/// Everything that is written down while real nodes run.
pub(super) struct Books {
    began: Instant,
    pages: Mutex<Pages>,
}

/// What is written down.
#[derive(Default)]
pub(super) struct Pages {
    pub(super) ledger: Ledger,
    pub(super) measure: Measure,
    pub(super) nodes: Vec<Entry>,
    /// For how long a crash may lose what came.
    pub(super) undurable: Nanos,
}

/// One node.
pub(super) struct Entry {
    pub(super) up: bool,
    /// Nobody owes a hostile node anything.
    pub(super) hostile: bool,
    pub(super) class: usize,
    pub(super) holds: Bits,
    pub(super) counters: Counters,
    pub(super) recovery: Option<Recovery>,
    pub(super) config: Config,
    pub(super) window: Duration,
    pub(super) tap: Arc<Tap>,
    /// What came lately, where a crash may lose it.
    pub(super) recent: VecDeque<(Nanos, MessageId)>,
}

impl Books {
    pub(super) fn open(pages: Pages) -> Arc<Books> {
        Arc::new(Books { began: Instant::now(), pages: Mutex::new(pages) })
    }

    /// Since the run began.
    pub(super) fn now(&self) -> Nanos {
        nanos(self.began.elapsed())
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    pub(super) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, key: &Key) -> Option<MessageId> {
        self.pages().ledger.find(key)
    }

    /// A node's archive has stored, or refused for good, a message.
    pub(super) fn came(&self, node: NodeId, key: &Key, how: Came) {
        let now = self.now();
        let Pages { ledger, measure, nodes, undurable } = &mut *self.pages();
        let (Some(message), Some(entry)) = (ledger.find(key), nodes.get_mut(node as usize)) else { return };
        if !entry.holds.insert(message) {
            return;
        }
        if *undurable > 0 {
            while entry.recent.front().is_some_and(|(came, _)| came + *undurable < now) {
                entry.recent.pop_front();
            }
            entry.recent.push_back((now, message));
        }
        let took = now.saturating_sub(ledger.published(message));
        match how {
            Came::Live => {
                entry.counters.live[0] += 1;
                measure.live.add(took, 1);
            }
            Came::Repaired => {
                entry.counters.repaired += 1;
                measure.repaired += 1;
                measure.repair.add(took, 1);
            }
            Came::Refused => entry.counters.refused += 1,
            Came::Own => {}
        }
        // A node that has just been stopped may still store.
        if !entry.up || entry.hostile {
            return;
        }
        ledger.held(entry.class, message, now);
        if let Some(recovery) = &mut entry.recovery
            && recovery.came(ledger, message)
        {
            measure.recovery.push(seconds(now - recovery.since));
            entry.recovery = None;
        }
    }
}

/// By what way a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Own,
    Live,
    Repaired,
    Refused,
}

impl Pages {
    /// A node starts.
    pub(super) fn comes(&mut self, node: NodeId, lost: bool) {
        let Pages { ledger, nodes, .. } = self;
        let entry = &mut nodes[node as usize];
        if lost {
            entry.holds = Bits::default();
        }
        entry.up = true;
        let holds = &entry.holds;
        if !entry.hostile {
            ledger.comes(entry.class, |message| holds.contains(message));
        }
    }

    /// A node stops.
    pub(super) fn goes(&mut self, node: NodeId, now: Nanos) {
        let Pages { ledger, nodes, .. } = self;
        let entry = &mut nodes[node as usize];
        (entry.up, entry.recovery) = (false, None);
        let holds = &entry.holds;
        if !entry.hostile {
            ledger.goes(entry.class, |message| holds.contains(message), now);
        }
    }

    /// A node turns against the others, or is honest again. What it holds counts only while it is honest.
    pub(super) fn turn(&mut self, node: NodeId, hostile: Option<Hostile>, now: Nanos) {
        let Pages { ledger, nodes, .. } = self;
        let entry = &mut nodes[node as usize];
        entry.tap.turn(hostile);
        let before = std::mem::replace(&mut entry.hostile, hostile.is_some());
        let holds = &entry.holds;
        match (before, entry.hostile) {
            (false, true) if entry.up => ledger.goes(entry.class, |message| holds.contains(message), now),
            (true, false) if entry.up => ledger.comes(entry.class, |message| holds.contains(message)),
            _ => {}
        }
        self.start_recovery(node, now);
    }

    /// Power fails at a node that has just stopped: what came since then is gone.
    pub(super) fn lose(&mut self, node: NodeId, since: Nanos) -> Vec<Key> {
        let Pages { ledger, nodes, .. } = self;
        let entry = &mut nodes[node as usize];
        let recent = std::mem::take(&mut entry.recent);
        let lost: Vec<_> = recent.into_iter().filter(|(came, _)| *came >= since).map(|(_, message)| message).collect();
        lost.iter().for_each(|message| {
            entry.holds.remove(*message);
        });
        entry.counters.lost += lost.len() as u64;
        lost.into_iter().map(|message| ledger.key(message)).collect()
    }

    /// From now on it is measured how long a node takes to become whole.
    pub(super) fn start_recovery(&mut self, node: NodeId, now: Nanos) {
        let Pages { ledger, nodes, .. } = self;
        let entry = &mut nodes[node as usize];
        let holds = &entry.holds;
        let has = |message| holds.contains(message);
        let begin = || Recovery::begin(ledger, entry.class, &entry.config, entry.window, now, has);
        entry.recovery = if entry.up && !entry.hostile { begin() } else { None };
    }

    /// How things stand.
    pub(super) fn sample(&mut self, now: Nanos, settle: Duration) {
        let missing = self.ledger.missing(now, settle);
        for entry in &mut self.nodes {
            entry.counters.sent = std::array::from_fn(|kind| load(&entry.tap.sent[kind]));
            entry.counters.served = load(&entry.tap.served);
        }
        let sent: [u64; crate::run::KINDS] =
            std::array::from_fn(|kind| self.nodes.iter().map(|entry| entry.counters.sent[kind]).sum());
        self.measure.sent = sent;
        self.measure.samples.push(Sample { at: now, missing, sent, repaired: self.measure.repaired });
    }
}

fn load(counter: &std::sync::atomic::AtomicU64) -> u64 {
    counter.load(std::sync::atomic::Ordering::Relaxed)
}
