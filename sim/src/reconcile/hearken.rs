//! Two engines back to back: the provider broadcasts once, the requester repairs itself.

use std::{error::Error, time::Duration};

use hearken_scheduler::{Config, GroupConfig};
use hearken_tree::{GroupId, Key, Tree};

use super::{
    disk::Disk,
    outcome::{Bytes, CpuMs, Outcome},
    workload::Workload,
};
use crate::world::{Peer, World};

/// One way between the two, so that round trips can be counted by the clock.
const LATENCY: Duration = Duration::from_millis(50);
/// When the two are given up.
const LIMIT: Duration = Duration::from_secs(3_600);
const GROUP: GroupId = GroupId([7; 16]);

/// Reconciles over one broadcast of the provider and one warm stream. The trees lie in memory, or on disk.
pub fn run(work: &Workload, seed: u64, disk: Option<&Disk>) -> Result<Outcome, Box<dyn Error>> {
    let config = config();
    let window = Duration::from_nanos(work.end - work.start) + Duration::from_secs(90);
    let group = GroupConfig { id: GROUP, window, retention: config.retention_for(window), kept_from: 0 };
    let settled = config.settle_delay + 2 * config.horizon_grid;
    let mut world = World::new(work.end + u64::try_from(settled.as_nanos())?, LATENCY);
    let silent = Config { announce: false, ..config.clone() };
    let requester = world.add(silent, group.clone(), tree("requester", &work.requester, disk)?, seed)?;
    let provider = world.add(config, group, tree("provider", &work.provider, disk)?, seed ^ 1)?;
    world.connect(requester, provider);
    let whole = (work.requester.len() + work.missing.len()) as u64;
    let complete = |world: &World, peer: Peer| world.node(peer).set.snapshot().len() == whole;
    let heard = |world: &World| world.node(requester).heard > 0;
    world.run_until(LIMIT, |world| heard(world) && complete(world, requester) && complete(world, provider))?;

    let held = world.node(requester).set.snapshot();
    let mut found = 0;
    for key in &work.missing {
        found += u64::from(held.contains(key)?);
    }
    let exact = found == work.missing.len() as u64 && held.len() == whole;
    let trip = 2 * LATENCY.as_millis();
    let round_trips = world.unicast().map_or(0, |(first, last)| (last - first).as_millis().div_ceil(trip));
    let mut bytes = Bytes {
        ihave: world.node(provider).sent.ihave,
        request: world.node(requester).sent.control,
        answer: world.node(provider).sent.control,
        framing: world.node(provider).sent.framing,
        total: 0,
    };
    bytes.total = bytes.ihave + bytes.request + bytes.answer;
    let cpu_ms = CpuMs {
        requester: world.node(requester).cpu.milliseconds(),
        provider: world.node(provider).cpu.milliseconds(),
    };
    Ok(Outcome { name: "hearken", bytes, round_trips: u64::try_from(round_trips)?, cpu_ms, found, exact })
}

/// The defaults, but nothing except the broadcast sets anything off.
fn config() -> Config {
    Config { probe: false, sync_on_boot: false, sync_on_reconnect: false, ..Config::default() }
}

fn tree(name: &str, keys: &[Key], disk: Option<&Disk>) -> Result<Tree, Box<dyn Error>> {
    let tree = Tree::from_sorted(keys.iter().copied())?;
    tree.snapshot().root()?;
    disk.map_or(Ok(tree.clone()), |disk| disk.store(name, tree))
}
