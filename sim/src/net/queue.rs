//! What happens when. Same pushes, same pops, whatever the machine.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use super::Nanos;

/// A slot of the wheel is 2^20 ns, about a millisecond, wide.
const WIDTH_BITS: u32 = 20;
/// The wheel covers about four seconds: nearly everything that is on its way.
const SLOTS: usize = 4096;

/// A priority queue for events that mostly lie close ahead: a wheel of unsorted slots, of which only the current one is
/// kept in order, and a heap for what lies beyond. Events at the same time come in the order in which they were pushed.
pub(crate) struct Queue<T> {
    now: Nanos,
    order: u64,
    slot: u64,
    current: BinaryHeap<Reverse<Entry<T>>>,
    wheel: Vec<Vec<Reverse<Entry<T>>>>,
    in_wheel: usize,
    beyond: BinaryHeap<Reverse<Entry<T>>>,
}

struct Entry<T> {
    at: Nanos,
    order: u64,
    item: T,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Queue<T> {
        let wheel = (0..SLOTS).map(|_| Vec::new()).collect();
        let (current, beyond) = (BinaryHeap::new(), BinaryHeap::new());
        Queue { now: 0, order: 0, slot: 0, current, wheel, in_wheel: 0, beyond }
    }

    /// What lies in the past happens now.
    pub(crate) fn push(&mut self, at: Nanos, item: T) {
        self.order += 1;
        let entry = Reverse(Entry { at: at.max(self.now), order: self.order, item });
        self.place(entry);
    }

    /// The next event.
    pub(crate) fn pop(&mut self) -> Option<(Nanos, T)> {
        loop {
            if let Some(Reverse(entry)) = self.current.pop() {
                self.now = entry.at;
                return Some((entry.at, entry.item));
            }
            if self.in_wheel > 0 {
                self.slot += 1;
            } else {
                self.slot = slot_of(self.beyond.peek()?.0.at);
            }
            let index = index_of(self.slot);
            self.in_wheel -= self.wheel[index].len();
            // Both keep their memory: the heap's goes to the slot, the slot's becomes the heap's.
            let spare = std::mem::take(&mut self.current).into_vec();
            let due = std::mem::replace(&mut self.wheel[index], spare);
            self.current = BinaryHeap::from(due);
            while self.beyond.peek().is_some_and(|next| slot_of(next.0.at) < self.slot + SLOTS as u64) {
                if let Some(entry) = self.beyond.pop() {
                    self.place(entry);
                }
            }
        }
    }

    fn place(&mut self, entry: Reverse<Entry<T>>) {
        let slot = slot_of(entry.0.at);
        if slot <= self.slot {
            self.current.push(entry);
        } else if slot < self.slot + SLOTS as u64 {
            self.wheel[index_of(slot)].push(entry);
            self.in_wheel += 1;
        } else {
            self.beyond.push(entry);
        }
    }
}

fn slot_of(at: Nanos) -> u64 {
    at >> WIDTH_BITS
}

#[expect(clippy::cast_possible_truncation, reason = "below SLOTS")]
fn index_of(slot: u64) -> usize {
    (slot % SLOTS as u64) as usize
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dice::Dice;

    /// Against a sorted list, with times from the same slot up to hours ahead, pushed while others are taken.
    #[test]
    fn comes_out_in_order() {
        let mut dice = Dice::new(1);
        let (mut queue, mut expected) = (Queue::new(), Vec::new());
        let mut taken = Vec::new();
        for number in 0..20_000u64 {
            let bits = 1 + dice.below(43);
            let ahead = dice.below(1 << bits);
            let at = queue.now + ahead;
            queue.push(at, number);
            expected.push((at, number));
            if dice.chance(0.4) {
                taken.extend(queue.pop());
            }
        }
        taken.extend(std::iter::from_fn(|| queue.pop()));
        expected.sort_unstable();
        assert_eq!(taken.len(), expected.len());
        assert!(taken.windows(2).all(|pair| pair[0].0 <= pair[1].0), "time goes forward");
        taken.sort_unstable();
        assert_eq!(taken, expected);
    }

    #[test]
    fn same_time_keeps_its_order() {
        let mut queue = Queue::new();
        for number in 0..100 {
            queue.push(5_000_000_000, number);
        }
        assert!((0..100).all(|number| queue.pop() == Some((5_000_000_000, number))));
    }
}
