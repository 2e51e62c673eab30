//! A node that is killed in the middle of its repair starts again, has lost nothing that it had, and finishes.
//!
//! SIGKILL shows that no state in memory is needed, and that a half-written commit is none. It cannot show a missing fsync,
//! since the page cache survives it: `hearken-archive` tests that on a storage that drops and tears what was not synced.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::harness::{Node, Trace, export, import, turn};

/// So many messages are missing that their repair takes a good second: time enough to be killed in.
const MESSAGES: usize = 8_000;

#[test]
fn killed_twenty_times_in_the_middle_of_its_repair_a_node_loses_nothing_and_finishes() {
    kill_often(20, 30);
}

#[test]
#[ignore = "long: tests/run --full"]
fn killed_two_hundred_times_a_node_loses_nothing_and_finishes() {
    kill_often(200, 31);
}

/// Kills a node at random moments of its repair, `kills` times. What it held after one kill it must hold after the next; when it
/// has finished before the blow, the next round begins with an archive of its own imports only.
fn kill_often(kills: usize, seed: u64) {
    let _turn = turn();
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let trace = Trace::generate(seed, MESSAGES);
    let whole = trace.messages();
    let own = trace.pick(|index| index % 10 == 0);
    let source = tempfile::tempdir().unwrap();
    import(source.path(), &trace);
    let source = Node::start(source.path(), &[]);

    let length = undisturbed(&source, &own);
    println!("an undisturbed repair takes {length:?}");
    let (mut middle, mut blow) = (0, 0);
    while blow < kills {
        let folder = tempfile::tempdir().unwrap();
        import(folder.path(), &own);
        let mut held = export(folder.path());
        while blow < kills && held.len() < whole.len() {
            blow += 1;
            let node = Node::start(folder.path(), &[source.address()]);
            let moment = length.mul_f64(random.random_range(0.0..0.6));
            let finished = node.repairs_within(whole.len() - held.len(), moment);
            let acknowledged = node.kill();
            let now = export(folder.path());
            println!(
                "kill {blow} after {moment:?}: {} of {} messages{}",
                now.len(),
                whole.len(),
                if finished { ", done" } else { "" }
            );
            assert!(held.is_subset(&now), "kill {blow} lost {} messages", held.difference(&now).count());
            assert!(
                now.len() >= acknowledged,
                "kill {blow}: {acknowledged} messages were acknowledged, {} are there",
                now.len()
            );
            assert!(now.is_subset(&whole), "kill {blow} left messages that nobody sent");
            middle += usize::from(now.len() > held.len() && now.len() < whole.len());
            held = now;
        }
        let node = Node::start(folder.path(), &[source.address()]);
        if held.len() < whole.len() {
            node.repairs(whole.len() - held.len());
        }
        node.stop().success();
        assert!(export(folder.path()) == whole, "after its kills the node is not equal");
    }
    println!("{middle} of {kills} kills fell into the middle of a repair");
    assert!(middle * 4 >= kills, "only {middle} of {kills} kills fell into the middle of a repair");
}

/// How long the repair takes from the start of the process to its end, if nobody disturbs it.
fn undisturbed(source: &Node, own: &Trace) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    import(folder.path(), own);
    let started = Instant::now();
    let node = Node::start(folder.path(), &[source.address()]);
    node.repairs(MESSAGES - own.len());
    started.elapsed()
}
