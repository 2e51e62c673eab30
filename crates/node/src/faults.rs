//! Faults on purpose, for demonstrations and tests.

use hearken_archive::{Header, Validator};
use hearken_tree::Id;

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// The share of live deliveries that are lost before the node sees them, from 0 to 1. Which ones: by the message's id and
    /// the seed.
    pub drop_live: f64,
    /// Makes nodes lose different messages.
    pub seed: u64,
}

impl Faults {
    /// Whether the delivery of this message is lost.
    pub fn drops(&self, id: &Id) -> bool {
        is_among(self.drop_live, mix(number(id) ^ mix(self.seed)))
    }
}

/// A validator that refuses a share of all messages: by their ids, so that it always refuses the same.
#[derive(Clone, Copy, Debug)]
pub struct RefuseSome(
    /// The share, from 0 to 1.
    pub f64,
);

impl Validator for RefuseSome {
    fn validate(&self, _: &str, header: &Header<'_>, _: &[u8]) -> Result<(), String> {
        match is_among(self.0, number(&header.id)) {
            true => Err("one of those that this node was told to refuse, for testing".to_owned()),
            false => Ok(()),
        }
    }
}

/// The first 8 bytes of an id: as good as random, since ids are hashes.
fn number(id: &Id) -> u64 {
    id.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Whether a random number is among a share of all numbers.
fn is_among(share: f64, number: u64) -> bool {
    #[allow(clippy::cast_precision_loss)] // of a comparison of chances
    let place = number as f64 / u64::MAX as f64;
    place < share
}

/// The finisher of SplitMix64.
fn mix(mut number: u64) -> u64 {
    number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> impl Iterator<Item = Id> {
        (0..10_000u64).map(|n| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&mix(n).to_be_bytes());
            Id(id)
        })
    }

    #[test]
    fn about_the_share_is_lost_and_nodes_lose_different_ones() {
        let [one, other] = [1, 2].map(|seed| Faults { drop_live: 0.05, seed });
        let lost = ids().filter(|id| one.drops(id)).count();
        assert!((400..600).contains(&lost), "{lost}");
        let both = ids().filter(|id| one.drops(id) && other.drops(id)).count();
        assert!(both < 60, "{both}");
        assert_eq!(ids().filter(|id| Faults::default().drops(id)).count(), 0);
        let all = Faults { drop_live: 1.0, seed: 3 };
        assert!(ids().all(|id| all.drops(&id)));
    }
}
