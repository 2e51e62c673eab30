//! Going over the keys of a range a chunk at a time.
use crate::{
    PageError,
    node::{Body, Entry, Node},
    search::before,
    shape::Raw,
    source::Source,
};

/// Hands the keys in `from..to` to `visit`, in order.
pub(crate) fn visit(
    source: &Source,
    root: &Entry,
    (from, to): (&Raw, &Raw),
    visit: &mut impl FnMut(&[Raw]),
) -> Result<(), PageError> {
    match source.node(root)? {
        _ if from >= to => {}
        Some(node) => below(source, &node, (Some(from), Some(to)), visit)?,
        None if *from <= root.first && root.first < *to => visit(&[root.first]),
        None => {}
    }
    Ok(())
}

/// The same under `node`, with only those bounds that cut it: keys are looked for at the range's two ends, nowhere between.
fn below(
    source: &Source,
    node: &Node,
    (from, to): (Option<&Raw>, Option<&Raw>),
    visit: &mut impl FnMut(&[Raw]),
) -> Result<(), PageError> {
    let firsts = node.firsts();
    let end = to.map_or(firsts.len(), |to| before(firsts, to));
    let Body::Inner(inner) = &node.body else {
        let start = from.map_or(0, |from| before(firsts, from));
        visit(&firsts[start..end]);
        return Ok(());
    };
    let start = from.map_or(0, |from| node.find(from));
    for index in start..end {
        let (from, to) = (from.filter(|_| index == start), to.filter(|_| index + 1 == end));
        source.with_child(inner, index, |child| match child {
            Some(child) => below(source, child, (from, to), visit),
            None if from.is_none_or(|from| from <= &firsts[index]) => {
                visit(&firsts[index..=index]);
                Ok(())
            }
            None => Ok(()),
        })?;
    }
    Ok(())
}
