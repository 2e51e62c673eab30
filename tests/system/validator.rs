//! One of five nodes refuses every twentieth message by a validator of its own: the others become equal, it becomes equal but for
//! those, and no refused payload is sent to it twice, not even after a restart.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::harness::{Messages, Node, Trace, export, import, repaired_in, turn};

/// The hidden flag of `hearken run` under which a node has a validator that refuses this share of all messages by their ids.
const PICKY: &[&str] = &["--test-refuse=0.05"];

#[test]
fn one_of_five_refuses_a_twentieth_and_is_equal_but_for_those() {
    let _turn = turn();
    let seed = 50;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let trace = Trace::generate(seed, 2_000);
    // The news are sent only after the rest is equal.
    let (old, news) = (trace.pick(|index| index % 100 != 0), trace.pick(|index| index % 100 == 0));
    // The picky one has nothing, so that it judges every message when it comes from a neighbour; the first has all.
    let parts: Vec<Trace> =
        [1.0, 0.9, 0.9, 0.9, 0.0].map(|share| old.pick(|_| random.random_bool(share))).into_iter().collect();
    let folders: Vec<_> = parts.iter().map(|_| tempfile::tempdir().unwrap()).collect();
    let mut nodes: Vec<Node> = Vec::new();
    for (part, folder) in parts.iter().zip(&folders) {
        import(folder.path(), part);
        let peers: Vec<&str> = nodes.iter().map(Node::address).collect();
        let picky = if nodes.len() == 4 { PICKY } else { &[] };
        nodes.push(Node::start_with(folder.path(), &peers, picky));
    }
    for (node, part) in nodes.iter().zip(&parts) {
        node.judges(old.len() - part.len());
    }
    let said: Vec<_> = nodes.into_iter().map(|node| node.stop().success()).collect();
    for folder in &folders[..4] {
        assert!(export(folder.path()) == old.messages(), "a node without a validator must be equal");
    }
    let kept = export(folders[4].path());
    assert!(kept.is_subset(&old.messages()));
    let refused = old.len() - kept.len();
    println!("{refused} of {} messages refused", old.len());
    assert!((30..=180).contains(&refused), "about a twentieth of {} must be refused, found {refused}", old.len());
    let counted = repaired_in(&said[4]);
    assert_eq!((counted.stored, counted.refused), (kept.len(), refused), "none of those refused may come twice");

    // Again, with some news: when they have come, everything else has been compared.
    import(folders[0].path(), &news);
    let source = Node::start(folders[0].path(), &[]);
    let picky = Node::start_with(folders[4].path(), &[source.address()], PICKY);
    picky.judges(news.len());
    let said = picky.stop().success();
    source.stop().success();
    let counted = repaired_in(&said);
    assert_eq!(counted.stored + counted.refused, news.len(), "what was refused before the restart was sent again");
    let new: Messages = export(folders[4].path()).difference(&kept).cloned().collect();
    assert!(new.len() == counted.stored && new.is_subset(&news.messages()));
}
