//! Ten real processes in a row, each of which dials only the next: what the first knows must reach the last.

use crate::harness::{Node, Trace, export, import, turn};

#[test]
fn a_message_known_to_the_first_of_ten_reaches_the_last() {
    let _turn = turn();
    let common = Trace::generate(20, 200);
    let known_to_all = common.pick(|index| index != 77);
    let folders: Vec<_> = (0..10).map(|_| tempfile::tempdir().unwrap()).collect();
    import(folders[0].path(), &common);
    for folder in &folders[1..] {
        import(folder.path(), &known_to_all);
    }
    let mut nodes: Vec<Node> = Vec::new();
    for folder in folders.iter().rev() {
        let next: Vec<&str> = nodes.last().map(Node::address).into_iter().collect();
        nodes.push(Node::start(folder.path(), &next));
    }
    for node in &nodes[..9] {
        node.repairs(1);
    }
    for node in nodes {
        node.stop().success();
    }
    for (place, folder) in folders.iter().enumerate() {
        assert_eq!(export(folder.path()), common.messages(), "node {place}");
    }
}
