//! What a run leaves behind, virtual or real: what every figure is made from.

use serde::Serialize;

use super::{
    ledger::Ledger,
    measure::{Counters, Measure, Quantiles},
    sim::Sim,
    store::Bits,
};
use crate::{
    net::{Nanos, nanos},
    scenario::Scenario,
};

/// What a run leaves behind.
pub(crate) struct Facts<'a> {
    pub(crate) scenario: &'a Scenario,
    /// `virtual` or `real`.
    pub(crate) mode: &'static str,
    pub(crate) ledger: &'a Ledger,
    pub(crate) measure: &'a Measure,
    pub(crate) nodes: Vec<NodeFacts<'a>>,
    pub(crate) end: Nanos,
    /// When the last event of the scenario began or ended.
    pub(crate) last_event: Nanos,
    /// What happened, counted.
    pub(crate) events: u64,
    /// Pairs of honest nodes of which one mutes the other, and honest nodes that mute a hostile one.
    pub(crate) muted: u64,
    pub(crate) muted_hostile: u64,
    /// What hostile nodes told whom, and what came of it.
    pub(crate) lies: Lies,
}

/// Lies that can be told from the truth.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Lies {
    /// Pairs of a hostile node and an honest neighbour that it lied to.
    pub lied_to: u64,
    /// Of these, those in which the neighbour had ten of the shortest intervals and did not mute the hostile node in them.
    pub unmuted: u64,
    /// How long after the first lie it was muted, in seconds.
    pub muted_after_s: Quantiles,
}

/// What a node leaves behind.
pub(crate) struct NodeFacts<'a> {
    pub(crate) counters: &'a Counters,
    pub(crate) up: bool,
    pub(crate) hostile: bool,
    pub(crate) class: usize,
    pub(crate) holds: &'a Bits,
    pub(crate) recovering: bool,
}

impl<'a> Facts<'a> {
    /// Of a virtual run.
    pub(crate) fn of(sim: &'a Sim<'_>) -> Facts<'a> {
        let nodes = sim.nodes.iter().map(|node| NodeFacts {
            counters: &node.counters,
            up: node.up,
            hostile: node.hostile.is_some(),
            class: node.class,
            holds: node.store.holds(),
            recovering: node.recovery.is_some(),
        });
        let (muted, muted_hostile) = muted(sim);
        Facts {
            scenario: sim.scenario,
            mode: "virtual",
            ledger: &sim.ledger,
            measure: &sim.measure,
            nodes: nodes.collect(),
            end: sim.end,
            last_event: sim.last_event,
            events: sim.events,
            muted,
            muted_hostile,
            lies: sim.mischief.lies(sim.end, nanos(sim.scenario.sync.interval_min)),
        }
    }
}

/// What hostile nodes think of others is nobody's fault.
fn muted(sim: &Sim<'_>) -> (u64, u64) {
    let honest = sim.nodes.iter().filter(|node| node.hostile.is_none());
    let engines = honest.filter_map(|node| node.engine.as_ref());
    let mut muted = (0, 0);
    for peer in engines.flat_map(|engine| engine.peer_status()).filter(|peer| peer.muted_for.is_some()) {
        let hostile = sim.nodes[peer.peer as usize].hostile.is_some();
        *(if hostile { &mut muted.1 } else { &mut muted.0 }) += 1;
    }
    muted
}
