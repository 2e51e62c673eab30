//! A node that is killed in the middle of its repair starts again, has lost nothing that it had, and finishes.
//!
//! SIGKILL shows that no state in memory is needed, and that a half-written commit is none. It cannot show a missing fsync,
//! since the page cache survives it: `hearken-archive` tests that on a storage that drops and tears what was not synced.

use std::path::Path;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::harness::{Messages, Node, PATIENCE, Trace, export, import, turn};

/// So many messages that their repair takes several commits, between which it can be killed.
const MESSAGES: usize = 60_000;

#[test]
fn killed_twenty_times_in_the_middle_of_its_repair_a_node_loses_nothing_and_finishes() {
    kill_often(20, 30);
}

#[test]
#[ignore = "long: tests/run --full"]
fn killed_two_hundred_times_a_node_loses_nothing_and_finishes() {
    kill_often(200, 31);
}

#[test]
fn a_neighbour_killed_while_it_serves_is_replaced_by_another() {
    let _turn = turn();
    let trace = Trace::generate(32, MESSAGES);
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    import(folders[0].path(), &trace);
    import(folders[1].path(), &trace);
    let [first, second] = [0, 1].map(|place: usize| Node::start(folders[place].path(), &[]));
    let node = Node::start(folders[2].path(), &[first.address(), second.address()]);
    node.repairs(1);
    first.kill();
    node.repairs(MESSAGES);
    node.stop().success();
    second.stop().success();
    for folder in &folders {
        assert!(export(folder.path()) == trace.messages(), "a node is not equal");
    }
}

/// Kills a node at random moments until `kills` of the blows fell into the middle of a repair. What it held after one blow it must
/// hold after the next. When it has finished before a blow, the next round begins, with another archive.
fn kill_often(kills: usize, seed: u64) {
    let _turn = turn();
    println!("seed {seed}");
    let trace = Trace::generate(seed, MESSAGES);
    let own = trace.pick(|index| index % 10 == 0);
    let source_data = tempfile::tempdir().unwrap();
    import(source_data.path(), &trace);
    let source = Node::start(source_data.path(), &[]);
    let mut executioner = Executioner {
        random: ChaCha8Rng::seed_from_u64(seed),
        length: Duration::from_millis(500),
        source: &source,
        whole: trace.messages(),
        blows: 0,
        middle: 0,
    };
    while executioner.middle < kills {
        let folder = tempfile::tempdir().unwrap();
        import(folder.path(), &own);
        let mut held = own.messages();
        while executioner.middle < kills && held.len() < trace.len() {
            held = executioner.strike(folder.path(), &held);
        }
        let node = Node::start(folder.path(), &[source.address()]);
        node.repairs(trace.len() - held.len());
        node.stop().success();
        assert!(export(folder.path()) == executioner.whole, "after its kills the node is not equal");
        assert!(executioner.blows < kills * 5, "only {} kills fell into the middle of a repair", executioner.middle);
    }
    println!("{} kills, {} in the middle of a repair", executioner.blows, executioner.middle);
}

struct Executioner<'a> {
    random: ChaCha8Rng,
    /// How long a repair takes, roughly: learned from where the blows fell, since machines differ.
    length: Duration,
    source: &'a Node,
    whole: Messages,
    blows: usize,
    middle: usize,
}

impl Executioner<'_> {
    /// Starts the node on this archive, which holds `held`, and kills it at a random moment of its repair; what it holds then.
    #[track_caller]
    fn strike(&mut self, data: &Path, held: &Messages) -> Messages {
        self.blows += 1;
        let missing = self.whole.len() - held.len();
        let moment = self.length.mul_f64(self.random.random_range(0.0..1.0));
        let node = Node::start(data, &[self.source.address()]);
        // To wait for the end of the repair up to a moment is to wait for that moment, or less.
        node.repairs_within(missing, moment);
        let said = node.said();
        let acknowledged = node.kill();

        let now = export(data);
        println!("kill {} after {moment:?}: {} of {} messages", self.blows, now.len(), self.whole.len());
        assert!(held.is_subset(&now), "{} messages were lost", held.difference(&now).count());
        assert!(now.len() >= held.len() + acknowledged, "messages that the node had said it stored were lost");
        assert!(now.is_subset(&self.whole), "there are messages that nobody sent");
        if now.len() == self.whole.len() {
            self.length = self.length.mul_f64(0.8);
        } else if now.len() == held.len() {
            // Else a node that is never repaired would be waited for longer and longer.
            assert!(
                moment < PATIENCE / 2,
                "no repair within {moment:?}: {said}\nits neighbour: {}",
                self.source.said()
            );
            self.length = self.length.mul_f64(1.2);
        } else {
            self.middle += 1;
        }
        now
    }
}
