use crate::{Id, Key};

/// The roundest key `k` with `after < k <= upto`: the one that travels in the fewest bytes.
///
/// Two neighbouring keys give the shortest bound between them; two keys further apart, the roundest cut anywhere between
/// them. Where the timestamps differ it is a time without an id, and its timestamp ends with the most zero bits. Returns
/// `upto` where `after` is not before it.
pub fn shortest_separator(after: &Key, upto: &Key) -> Key {
    if after.timestamp() < upto.timestamp() {
        return Key::at(roundest(after.timestamp(), upto.timestamp()));
    }
    // Same time: the shortest prefix of `upto` that is still past `after`.
    let (low, high) = (after.id().0, upto.id().0);
    let differs = low.iter().zip(&high).position(|(a, b)| a != b).unwrap_or(31);
    let mut id = [0; 32];
    id.iter_mut().zip(&high).take(differs + 1).for_each(|(to, from)| *to = *from);
    Key::new(upto.timestamp(), Id(id))
}

/// The number in `after + 1 ..= upto` with the most trailing zero bits.
fn roundest(after: u64, upto: u64) -> u64 {
    // Above the highest bit in which they differ, they agree; there `upto` has a one and `after` a zero.
    let bit = (after ^ upto).checked_ilog2().unwrap_or(0);
    upto >> bit << bit
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_times_a_power_of_two() {
        assert_eq!(shortest_separator(&Key::at(1000), &Key::at(1030)), Key::at(1024));
        assert_eq!(shortest_separator(&Key::at(1023), &Key::at(1024)), Key::at(1024));
        assert_eq!(shortest_separator(&Key::at(0), &Key::MAX), Key::at(1 << 63));
    }

    proptest! {
        #[test]
        fn separates_and_none_is_rounder(after in any::<u64>(), by in 1..1000_u64) {
            let upto = after.saturating_add(by);
            prop_assume!(after < upto);
            let found = roundest(after, upto);
            prop_assert!(after < found && found <= upto);
            for other in after + 1..=upto {
                prop_assert!(other.trailing_zeros() <= found.trailing_zeros());
            }
        }

        #[test]
        fn separates_keys(a in (0..3_u64, any::<[u8; 2]>()), b in (0..3_u64, any::<[u8; 2]>())) {
            let key = |(time, [x, y]): (u64, [u8; 2])| {
                let mut id = [0; 32];
                (id[0], id[31]) = (x & 3, y);
                Key::new(time, Id(id))
            };
            let (low, high) = (key(a).min(key(b)), key(a).max(key(b)));
            prop_assume!(low < high);
            let found = shortest_separator(&low, &high);
            prop_assert!(low < found && found <= high);
        }
    }
}
