//! The bytes of a page.
//!
//! ```text
//! leaf:   level (0)   n (u16 BE)   n keys, 40 bytes each
//! inner:  level       n (u16 BE)   n first keys, 40 each   n of what is hashed, 40 each   n child levels   check 16
//! ```
//!
//! A child level of 255 means that the child is the single key above it and has no page. The chunk's digest covers the
//! keys of a leaf and what is hashed of an inner page: digest and count of each child, or the single key; `check`, the first 16 bytes of the BLAKE3 hash of all
//! before it, covers the rest of an inner page. The file that holds the pages says which version of this format they have.
use crate::{
    Digest, PageError, PageId,
    digest::{count_in, key_sum},
    node::{Body, Child, Entry, Inner, Node},
    shape::Raw,
};

const HEADER: usize = 3;
const CHECK: usize = 16;
/// The child level of a single key.
const KEY: u8 = u8::MAX;

/// The bytes of a chunk's page.
pub(crate) fn encode(node: &Node) -> Vec<u8> {
    let n = node.len();
    let mut bytes = Vec::with_capacity(HEADER + n * 81 + CHECK);
    bytes.push(node.level);
    bytes.extend_from_slice(&u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(node.firsts().as_flattened());
    if let Body::Inner(inner) = &node.body {
        node.with_hashed(|sums| bytes.extend_from_slice(sums.as_flattened()));
        bytes.extend((0..n).map(|i| match inner.child(i) {
            Child::Key => KEY,
            child => child.level(),
        }));
        let check = blake3::hash(&bytes);
        bytes.extend_from_slice(&check.as_bytes()[..CHECK]);
    }
    bytes
}

/// The chunk whose page was read at `id`, if it is the one with the `expected` digest.
pub(crate) fn decode(id: &PageId, expected: Digest, bytes: &[u8]) -> Result<Node, PageError> {
    let found = match parse(id, bytes) {
        Some(node) if node.digest() == expected => return Ok(node),
        Some(node) => node.digest(),
        None => Digest(*blake3::hash(bytes).as_bytes()),
    };
    Err(PageError::Corrupt { id: *id, expected, found })
}

/// The chunk in these bytes; `None` if they are not a page that belongs at `id`.
fn parse(id: &PageId, bytes: &[u8]) -> Option<Node> {
    let (&[level, high, low], rest) = bytes.split_first_chunk::<HEADER>()?;
    let n = usize::from(u16::from_be_bytes([high, low]));
    let keys = take(rest, n)?;
    let ascending = keys.windows(2).all(|pair| pair[0] < pair[1]);
    if level != id.level || n < 2 || keys[0] != *id.first.as_bytes() || !ascending {
        return None;
    }
    let rest = &rest[n * size_of::<Raw>()..];
    if level == 0 {
        return rest.is_empty().then(|| Node::leaf(0, keys.to_vec()));
    }
    let (checked, check) = bytes.split_last_chunk::<CHECK>()?;
    let sums = take(rest, n)?;
    let levels = &rest[n * size_of::<Raw>()..];
    if levels.len() != n + CHECK || blake3::hash(checked).as_bytes()[..CHECK] != check[..] {
        return None;
    }
    let mut inner = Inner::with_capacity(n);
    for ((first, sum), child) in keys.iter().zip(sums).zip(levels) {
        let child = match *child {
            KEY if *sum == key_sum(first) => Child::Key,
            child if child < level && count_in(sum) > 1 => Child::Stored(child),
            _ => return None,
        };
        inner.push(Entry { first: *first, sum: *sum, child });
    }
    Some(Node::inner(level, 0, inner))
}

/// The first `n` raws of `bytes`.
fn take(bytes: &[u8], n: usize) -> Option<&[Raw]> {
    bytes.as_chunks().0.get(..n)
}
