//! Every shape of difference is found exactly, by us and by the system that we measure against.
#![allow(clippy::unwrap_used)]

use hearken_sim::reconcile::{
    disk::Disk,
    hearken, merkle_search_tree, negentropy, riblt,
    workload::{self, Shape, Workload},
};

#[test]
fn every_shape_is_exact() {
    for (name, shape) in Shape::NAMES {
        for missing in [0, 1, 30, 600] {
            let work = Workload::new(workload::made_up(20_000, 5), missing, shape, 5);
            for outcome in [hearken::run(&work, 5, None).unwrap(), negentropy::run(&work).unwrap()] {
                assert!(outcome.exact, "{name}, {missing} missing: {outcome:?}");
            }
        }
    }
}

/// What others' crates find, and what that takes at least: an id of 32 bytes for each message.
#[test]
fn others_find_the_same() {
    for (name, shape) in Shape::NAMES {
        for missing in [0, 1, 300] {
            let work = Workload::new(workload::made_up(3_000, 5), missing, shape, 5);
            let trees = merkle_search_tree::run(&work).unwrap();
            for outcome in [trees, riblt::run(&work).unwrap()] {
                assert!(outcome.exact, "{name}, {missing} missing: {outcome:?}");
                assert!(outcome.bytes.total >= 32 * outcome.found, "{name}, {missing} missing: {outcome:?}");
                assert!(outcome.round_trips >= 1, "{outcome:?}");
            }
        }
    }
}

#[test]
fn a_table_does_not_decode_what_would_take_it_hours() {
    let work = Workload::new(workload::made_up(30_000, 5), 0, Shape::Empty, 5);
    assert!(riblt::run(&work).is_none());
}

#[test]
fn trees_on_disk_give_the_same() {
    let disk = Disk::new().unwrap();
    for missing in [0, 10, 600] {
        let work = Workload::new(workload::made_up(20_000, 5), missing, Shape::Scatter, 5);
        let (memory, disk) = (hearken::run(&work, 5, None).unwrap(), hearken::run(&work, 5, Some(&disk)).unwrap());
        assert!(disk.exact, "{missing} missing: {disk:?}");
        assert_eq!((disk.bytes, disk.round_trips), (memory.bytes, memory.round_trips));
    }
}

/// What "One round trip" promises, in the small: one request and one answer for whatever is scattered or in one gap.
#[test]
fn one_round_trip_is_enough() {
    for (shape, missing, unicast) in [(Shape::Scatter, 1, 120), (Shape::Scatter, 10, 400), (Shape::GapNewest, 500, 120)]
    {
        let work = Workload::new(workload::made_up(20_000, 6), missing, shape, 6);
        let outcome = hearken::run(&work, 6, None).unwrap();
        assert_eq!(outcome.round_trips, 1, "{outcome:?}");
        assert!(outcome.bytes.request + outcome.bytes.answer <= unicast, "{outcome:?}");
        assert!(outcome.bytes.ihave <= 1_100, "{outcome:?}");
    }
}

/// Both sides lack thousands, all over: sketches hold what counts do not show, so that one round trip tells each side what it lacks, and
/// the second brings the other's. With a fifth missing on one side, a neighbour is asked first whether that is so.
#[test]
fn much_takes_two_round_trips() {
    for (shape, missing) in [(Shape::TwoWay, 4_000), (Shape::Scatter, 40_000)] {
        let trips = |seed| {
            let work = Workload::new(workload::made_up(200_000, seed), missing, shape, seed);
            let outcome = hearken::run(&work, seed, None).unwrap();
            assert!(outcome.exact, "{missing} missing, seed {seed}: {outcome:?}");
            outcome.round_trips
        };
        let mut trips: Vec<u64> = (1..=5).map(trips).collect();
        trips.sort_unstable();
        assert!(trips[2] == 2 && trips[4] <= 3, "{missing} missing: {trips:?}");
    }
}
