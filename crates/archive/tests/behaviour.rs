//! What every archive does, whatever it stores in.
#![allow(clippy::unwrap_used)]
mod common;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use common::*;
use hearken_archive::{
    Admission, AdmitError, Archive, ArchiveOptions, Candidate, Filter, Header, Memory, Origin, PageLimit, Query,
    ReadError, RefusalReason, StoredMessage, Validator,
};
use hearken_tree::{Key, KeyRange};

/// A view is one commit, however many are made meanwhile.
#[test]
fn readers_see_whole_commits() {
    let folder = tempfile::tempdir().unwrap();
    let all = filter(&[]);
    let archive = open(folder.path(), options(vec![all.clone()]));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let view = archive.view(&all.group()).unwrap();
                    let count = view.kept.len();
                    assert!(count >= last && count.is_multiple_of(10), "{count} after {last}");
                    last = count;
                    let keys: Vec<Key> = view.kept.keys(&KeyRange::ALL).map(Result::unwrap).collect();
                    assert_eq!(keys.len() as u64, count);
                    assert!(archive.get(&keys).unwrap().iter().all(Option::is_some), "what is indexed is stored");
                    let fresh = hearken_tree::Tree::from_sorted(keys).unwrap();
                    assert_eq!(view.kept.root().unwrap(), fresh.snapshot().root().unwrap());
                }
            });
        }
        for batch in 0..60 {
            // Everywhere between those of before.
            let bodies: Vec<_> = (0..10).map(|n| live(&nth((n * 60 + batch) * 7919 % 6007))).collect();
            admit(&archive, &bodies);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(kept(&archive, &all).len(), 600);
}

/// Runs each test on both archives.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod memory {
            $(#[test] fn $name() { super::$name(&|options| Box::new(super::Memory::new(options))); })*
        }
        mod embedded {
            $(#[test] fn $name() {
                let folders = std::cell::RefCell::new(Vec::new());
                super::$name(&|options| {
                    let folder = tempfile::tempdir().unwrap();
                    let archive = super::common::open(folder.path(), options);
                    folders.borrow_mut().push(folder);
                    Box::new(archive)
                });
            })*
        }
    };
}

on_both! {
    stores_and_gives_back
    judges_by_one_predicate
    judges_synced_messages_by_what_was_asked
    remembers_refused_synced_messages
    deleted_messages_stay_away
    forgets_the_oldest_refusals
    bounds_age
    bounds_size
    scans_groups_that_are_part_of_a_topic
    pages_by_messages_and_bytes
    duplicates_in_a_batch_count_once
    unknown_groups_are_errors
    answers_queries
    a_query_looks_at_a_bounded_number_of_messages
    finds_by_id
    a_validator_that_panics_refuses
}

type Make<'a> = &'a dyn Fn(ArchiveOptions) -> Box<dyn Archive>;

const ALL: PageLimit = PageLimit { messages: usize::MAX, bytes: usize::MAX };

fn stores_and_gives_back(make: Make<'_>) {
    let all = filter(&[]);
    let archive = make(options(vec![all.clone()]));
    let bodies: Vec<_> = (0..100).map(nth).collect();
    let admitted = admit(&*archive, &bodies.iter().rev().map(live).collect::<Vec<_>>());
    assert_eq!(admitted, bodies.iter().rev().map(|body| Admission::Stored(key(body))).collect::<Vec<_>>());
    assert_eq!(admit(&*archive, &[live(&bodies[7])]), [Admission::Held(key(&bodies[7]))]);

    assert_eq!(archive.groups(), std::slice::from_ref(&all));
    assert_eq!(kept(&*archive, &all), bodies.iter().map(key).collect());
    assert_eq!(held(&*archive, &all), kept(&*archive, &all));
    assert_eq!(archive.find(&key(&bodies[3]).id()).unwrap(), Some(key(&bodies[3])));
    assert_eq!(archive.find(&key(&nth(1000)).id()).unwrap(), None);

    let got = archive.get(&[key(&bodies[9]), key(&nth(1000)), key(&bodies[2])]).unwrap();
    let got: Vec<_> = got.into_iter().map(|message| message.map(|message| message.body)).collect();
    assert_eq!(got, [Some(bodies[9].clone()), None, Some(bodies[2].clone())]);

    let scanned = archive.scan(&all.group(), &KeyRange::ALL, ALL).unwrap();
    assert_eq!(scanned.iter().map(|message| message.body.clone()).collect::<Vec<_>>(), bodies);
    assert!(scanned.iter().all(|message| *message.pubsub_topic == *TOPIC));
    let sequences: BTreeSet<u64> = scanned.iter().map(|message| message.sequence).collect();
    assert_eq!(sequences, (1..=100).collect());
}

fn judges_by_one_predicate(make: Make<'_>) {
    let mut given = options(vec![filter(&["a"])]);
    given.limits.max_size = 100;
    given.limits.max_future = Duration::from_secs(20);
    given.limits.max_age = Some(Duration::from_secs(3600));
    let archive = make(given);
    let mut ephemeral = body(NOW, "a", b"").to_vec();
    ephemeral[8] = 1;
    let cases = [
        (body(NOW, "a", b"good"), None),
        (body(NOW + 20 * SECOND, "a", b""), None),
        (body(NOW - 3600 * SECOND, "a", b""), None),
        (body(NOW + 20 * SECOND + 1, "a", b""), Some(RefusalReason::BadTimestamp)),
        (body(0, "a", b""), Some(RefusalReason::BadTimestamp)),
        (body(NOW - 3600 * SECOND - 1, "a", b""), Some(RefusalReason::TooOld)),
        (body(NOW, "a", &[0; 89]), None),
        (body(NOW, "a", &[0; 90]), Some(RefusalReason::TooLarge { size: 101, limit: 100 })),
        (ephemeral.into(), Some(RefusalReason::Ephemeral)),
        (body(NOW, "b", b""), Some(RefusalReason::NoGroup)),
        (body(NOW, "a", b"bad"), Some(RefusalReason::Invalid("bad".to_owned()))),
    ];
    for (body, fault) in cases {
        let expected = match fault {
            Some(reason) => Admission::Refused(key(&body), reason),
            None => Admission::Stored(key(&body)),
        };
        // Refused live messages are judged anew each time: nothing is remembered of them.
        assert_eq!(admit(&*archive, &[live(&body)]), [expected], "{body:?}");
    }
    let malformed = admit(&*archive, &[live(&"short".into())]);
    assert!(matches!(malformed.as_slice(), [Admission::Malformed(_)]), "{malformed:?}");
    let elsewhere = Candidate { body: nth(0), origin: Origin::Topic("elsewhere".to_owned()) };
    let elsewhere = admit(&*archive, &[elsewhere]);
    assert!(matches!(elsewhere.as_slice(), [Admission::Refused(_, RefusalReason::TooOld | RefusalReason::NoGroup)]));
    assert_eq!(held(&*archive, &filter(&["a"])).len(), 4);
}

fn judges_synced_messages_by_what_was_asked(make: Make<'_>) {
    let group = filter(&["a"]);
    let archive = make(options(vec![group.clone(), filter(&["b"])]));
    let (inside, outside) = (nth(0), nth(3));
    let asked: Arc<[KeyRange]> =
        Arc::new([KeyRange::between(1, 2), KeyRange::between(key(&inside).timestamp(), key(&inside).timestamp() + 1)]);
    let candidate = |body| Candidate { body, origin: Origin::Synced { group: group.group(), asked: asked.clone() } };
    assert_eq!(admit(&*archive, &[candidate(outside.clone())]), [Admission::Unasked(key(&outside))]);
    assert_eq!(admit(&*archive, &[candidate(inside.clone())]), [Admission::Stored(key(&inside))]);
    assert_eq!(admit(&*archive, &[candidate(inside.clone())]), [Admission::Held(key(&inside))]);
    // Inside the ranges, but of another group: it was not asked for either, though this archive keeps that group.
    let other = body(key(&inside).timestamp(), "b", b"other");
    assert_eq!(admit(&*archive, &[candidate(other.clone())]), [Admission::Unasked(key(&other))]);
    assert!(matches!(admit(&*archive, &[candidate("x".into())]).as_slice(), [Admission::Malformed(_)]));
}

fn remembers_refused_synced_messages(make: Make<'_>) {
    let (all, part, other) = (filter(&[]), filter(&["a"]), filter(&["b"]));
    let archive = make(options(vec![all.clone(), part.clone(), other.clone()]));
    let bad = body(NOW - 10 * SECOND, "a", b"bad");
    let good = body(NOW - 10 * SECOND, "a", b"good");
    let refused = Admission::Refused(key(&bad), RefusalReason::Invalid("bad".to_owned()));
    assert_eq!(admit(&*archive, &[live(&bad)]), std::slice::from_ref(&refused));
    assert_eq!(held(&*archive, &all).len(), 0);
    for _ in 0..2 {
        let admitted = admit(&*archive, &[synced(&part, &bad), synced(&part, &good), synced(&all, &bad)]);
        assert_eq!([&admitted[0], &admitted[2]], [&refused, &refused]);
        for group in [&all, &part] {
            assert_eq!(kept(&*archive, group), BTreeSet::from([key(&good)]));
            assert_eq!(held(&*archive, group), BTreeSet::from([key(&good), key(&bad)]));
        }
        assert_eq!(held(&*archive, &other).len(), 0);
    }
    // What may be admitted later is not remembered.
    let early = body(NOW + 60 * SECOND, "a", b"early");
    assert_eq!(
        admit(&*archive, &[synced(&all, &early)]),
        [Admission::Refused(key(&early), RefusalReason::BadTimestamp)]
    );
    assert_eq!(archive.admit(&[synced(&all, &early)], NOW + 60 * SECOND).unwrap(), [Admission::Stored(key(&early))]);
    // What can never be admitted is.
    let zero = body(0, "a", b"zero");
    assert_eq!(admit(&*archive, &[synced(&all, &zero)]), [Admission::Refused(key(&zero), RefusalReason::BadTimestamp)]);
    assert!(held(&*archive, &part).contains(&key(&zero)));
}

fn deleted_messages_stay_away(make: Make<'_>) {
    let (all, part) = (filter(&[]), filter(&["a"]));
    let archive = make(options(vec![all.clone(), part.clone()]));
    let bodies: Vec<_> = (0..9).map(nth).collect();
    admit(&*archive, &bodies.iter().map(live).collect::<Vec<_>>());
    let before = archive.view(&all.group()).unwrap();
    assert_eq!(archive.delete(&[key(&bodies[0]), key(&bodies[1]), key(&nth(1000)), key(&bodies[0])]).unwrap(), 2);
    for candidate in [live(&bodies[0]), synced(&all, &bodies[0]), synced(&part, &bodies[0])] {
        let expected = Admission::Refused(key(&bodies[0]), RefusalReason::Deleted);
        assert_eq!(admit(&*archive, &[candidate]), [expected]);
    }
    assert_eq!(kept(&*archive, &all), bodies[2..].iter().map(key).collect());
    assert_eq!(held(&*archive, &all), bodies.iter().map(key).collect());
    assert_eq!(kept(&*archive, &part), BTreeSet::from([key(&bodies[3]), key(&bodies[6])]));
    assert_eq!(held(&*archive, &part), BTreeSet::from([key(&bodies[0]), key(&bodies[3]), key(&bodies[6])]));
    assert_eq!(archive.get(&[key(&bodies[0])]).unwrap(), [None]);
    assert_eq!(archive.find(&key(&bodies[0]).id()).unwrap(), None);
    let view = archive.view(&all.group()).unwrap();
    assert_eq!(view.held.root().unwrap(), before.kept.root().unwrap());
    assert_ne!(view.kept.root().unwrap(), before.kept.root().unwrap());
    assert_eq!(before.kept.len(), 9, "a view stays what it was");
}

fn forgets_the_oldest_refusals(make: Make<'_>) {
    let all = filter(&[]);
    let mut given = options(vec![all.clone()]);
    given.max_refused = 5;
    let archive = make(given);
    let bad: Vec<_> = (0..20).map(|n| body(NOW - 100 * SECOND + n, "a", format!("bad {n}").as_bytes())).collect();
    admit(&*archive, &bad[..10].iter().map(|body| synced(&all, body)).collect::<Vec<_>>());
    assert_eq!(held(&*archive, &all), bad[5..10].iter().map(key).collect());
    admit(&*archive, &bad[10..13].iter().map(|body| synced(&all, body)).collect::<Vec<_>>());
    assert_eq!(held(&*archive, &all), bad[8..13].iter().map(key).collect());
    assert_eq!(kept(&*archive, &all).len(), 0);
}

fn bounds_age(make: Make<'_>) {
    let (all, part) = (filter(&[]), filter(&["a"]));
    let mut given = options(vec![all.clone(), part.clone()]);
    given.limits.max_age = Some(Duration::from_secs(100));
    let archive = make(given);
    let bodies: Vec<_> = (0..100).map(|n| body(NOW - (99 - n) * SECOND, ["a", "b"][(n % 2) as usize], b"")).collect();
    admit(&*archive, &bodies.iter().map(live).collect::<Vec<_>>());
    admit(&*archive, &[synced(&all, &body(NOW - 90 * SECOND, "a", b"bad"))]);
    assert_eq!(archive.retain(NOW).unwrap(), 0);
    assert_eq!(held(&*archive, &part).len(), 51);
    assert_eq!(archive.kept_from(NOW), NOW - 100 * SECOND);

    let later = NOW + 30 * SECOND;
    assert_eq!(archive.retain(later).unwrap(), 29);
    assert_eq!(kept(&*archive, &all), bodies[29..].iter().map(key).collect());
    assert_eq!(held(&*archive, &all), kept(&*archive, &all), "refused keys leave with their time");
    assert_eq!(kept(&*archive, &part), bodies[29..].iter().skip(1).step_by(2).map(key).collect());
    assert_eq!(archive.find(&key(&bodies[0]).id()).unwrap(), None);
    let gone = key(&bodies[28]);
    assert_eq!(
        archive.admit(&[synced(&all, &bodies[28])], later).unwrap(),
        [Admission::Refused(gone, RefusalReason::TooOld)]
    );
    assert!(!held(&*archive, &all).contains(&gone));
}

fn bounds_size(make: Make<'_>) {
    let all = filter(&[]);
    let mut given = options(vec![all.clone()]);
    given.max_bytes = Some(1000);
    let archive = make(given);
    let bodies: Vec<_> = (0..100).map(|n| body(NOW - 1000 + n / 2, "a", &[u8::try_from(n).unwrap(); 9])).collect();
    admit(&*archive, &bodies.iter().map(live).collect::<Vec<_>>());
    assert_eq!(archive.kept_from(NOW), 0);
    assert_eq!(archive.retain(NOW).unwrap(), 50);
    assert_eq!(kept(&*archive, &all), bodies[50..].iter().map(key).collect());
    assert_eq!(archive.kept_from(NOW), NOW - 1000 + 25);
    // What had to go does not come back.
    assert_eq!(
        admit(&*archive, &[synced(&all, &bodies[49])]),
        [Admission::Refused(key(&bodies[49]), RefusalReason::TooOld)]
    );
    // One byte too many: all messages of the oldest time leave.
    admit(&*archive, &[live(&body(NOW, "a", b""))]);
    assert_eq!(archive.retain(NOW).unwrap(), 2);
    assert_eq!(archive.retain(NOW).unwrap(), 0);
}

fn scans_groups_that_are_part_of_a_topic(make: Make<'_>) {
    let (all, part, rare) = (filter(&[]), filter(&["a"]), filter(&["z"]));
    let archive = make(options(vec![all.clone(), part.clone(), rare.clone()]));
    let mut bodies: Vec<_> = (0..300).map(nth).collect();
    for n in [17, 18, 150, 299] {
        bodies.push(body(NOW - 100_000 * SECOND + n * SECOND, "z", b"rare"));
    }
    admit(&*archive, &bodies.iter().map(live).collect::<Vec<_>>());
    let ranges = [
        KeyRange::ALL,
        KeyRange::between(NOW - 99_900 * SECOND, NOW - 99_700 * SECOND),
        KeyRange::new(key(&nth(12)), key(&nth(12))).unwrap(),
    ];
    for group in [&all, &part, &rare] {
        for range in &ranges {
            let scanned = archive.scan(&group.group(), range, ALL).unwrap();
            let keys: BTreeSet<Key> = scanned.iter().map(|message| message.key).collect();
            let expected = kept(&*archive, group).into_iter().filter(|key| range.contains(key)).collect();
            assert_eq!(keys, expected);
            assert!(scanned.iter().map(|message| message.key).is_sorted());
            assert!(scanned.iter().all(|message| key(&message.body) == message.key));
        }
    }
    assert_eq!(archive.scan(&rare.group(), &KeyRange::ALL, ALL).unwrap().len(), 4);
}

fn pages_by_messages_and_bytes(make: Make<'_>) {
    let all = filter(&[]);
    let archive = make(options(vec![all.clone()]));
    let bodies: Vec<_> = (0..10).map(nth).collect();
    admit(&*archive, &bodies.iter().map(live).collect::<Vec<_>>());
    let size = bodies[0].len();
    for (limit, expected) in [
        (PageLimit { messages: 3, bytes: usize::MAX }, 3),
        (PageLimit { messages: usize::MAX, bytes: 3 * size }, 3),
        (PageLimit { messages: usize::MAX, bytes: 4 * size - 1 }, 3),
        (PageLimit { messages: usize::MAX, bytes: 0 }, 1),
        (PageLimit { messages: 0, bytes: 0 }, 1),
    ] {
        let page = archive.scan(&all.group(), &KeyRange::ALL, limit).unwrap();
        assert_eq!(
            page.iter().map(|message| message.key).collect::<Vec<_>>(),
            bodies[..expected].iter().map(key).collect::<Vec<_>>()
        );
    }
}

fn duplicates_in_a_batch_count_once(make: Make<'_>) {
    let all = filter(&[]);
    let archive = make(options(vec![all.clone()]));
    let (one, two) = (nth(1), nth(2));
    let stored = Admission::Stored;
    let held_ = Admission::Held;
    assert_eq!(
        admit(&*archive, &[live(&two), synced(&all, &one), live(&one), live(&two), synced(&all, &two)]),
        [stored(key(&two)), stored(key(&one)), held_(key(&one)), held_(key(&two)), held_(key(&two))]
    );
    assert_eq!(kept(&*archive, &all).len(), 2);
    assert_eq!(admit(&*archive, &[]), []);
}

fn unknown_groups_are_errors(make: Make<'_>) {
    let archive = make(options(vec![filter(&["a"])]));
    let unknown = filter(&["b"]);
    let error = archive.admit(&[live(&nth(0)), synced(&unknown, &nth(1))], NOW).unwrap_err();
    assert!(matches!(error, AdmitError::UnknownGroup(group) if group == unknown.group()));
    assert_eq!(archive.get(&[key(&nth(0))]).unwrap(), [None]);
    assert!(matches!(archive.view(&unknown.group()), Err(ReadError::UnknownGroup(_))));
    assert!(matches!(archive.scan(&unknown.group(), &KeyRange::ALL, ALL), Err(ReadError::UnknownGroup(_))));
}

/// Everything a query finds, page by page.
fn pages_of(archive: &dyn Archive, mut query: Query) -> Vec<Vec<StoredMessage>> {
    let mut pages = Vec::new();
    loop {
        let page = archive.query(&query).unwrap();
        pages.push(page.messages);
        let Some(rest) = page.rest else { return pages };
        assert!(query.range.covers(&rest) && query.range != rest, "it goes on");
        query.range = rest;
    }
}

fn answers_queries(make: Make<'_>) {
    let other = Filter { pubsub_topic: model::OTHER.to_owned(), content_topics: BTreeSet::new() };
    let archive = make(options(vec![filter(&[]), filter(&["a"]), other]));
    let mut expected = Vec::new();
    for n in 0..90 {
        let (body, topic) = (nth(n), [TOPIC, TOPIC, TOPIC, model::OTHER][usize::try_from(n % 4).unwrap()]);
        admit(&*archive, &[Candidate { body: body.clone(), origin: Origin::Topic(topic.to_owned()) }]);
        expected.push((body, topic, ["a", "b", "c"][usize::try_from(n % 3).unwrap()]));
    }
    let within = KeyRange::between(expected_time(10), expected_time(80));
    for range in [KeyRange::ALL, within, KeyRange::between(5, 5), KeyRange::between(0, NOW * 2)] {
        for pubsub_topic in [None, Some(TOPIC), Some(model::OTHER), Some("elsewhere")] {
            for content_topics in [&[][..], &["a"], &["c", "b"], &["z"]] {
                for (newest_first, messages) in [(false, 1), (true, 7), (false, 7), (true, 1000)] {
                    let query = Query {
                        pubsub_topic: pubsub_topic.map(str::to_owned),
                        content_topics: content_topics.iter().map(|topic| (*topic).to_owned()).collect(),
                        range,
                        newest_first,
                        limit: PageLimit { messages, bytes: usize::MAX },
                    };
                    let pages = pages_of(&*archive, query.clone());
                    assert!(pages.iter().all(|page| page.len() <= messages), "{query:?}");
                    let found: Vec<_> =
                        pages.concat().into_iter().map(|found| (found.body, found.pubsub_topic.to_string())).collect();
                    let mut wanted: Vec<_> = expected
                        .iter()
                        .filter(|(body, on, content)| {
                            range.contains(&key(body))
                                && pubsub_topic.is_none_or(|topic| topic == *on)
                                && (content_topics.is_empty() || content_topics.contains(content))
                        })
                        .map(|(body, on, _)| (body.clone(), (*on).to_owned()))
                        .collect();
                    if newest_first {
                        wanted.reverse();
                    }
                    assert_eq!(found, wanted, "{query:?}");
                }
            }
        }
    }
    // From behind a message on, whichever way.
    for newest_first in [false, true] {
        let limit = PageLimit { messages: 2, bytes: usize::MAX };
        let (pubsub_topic, content_topics) = (Some(TOPIC.to_owned()), BTreeSet::new());
        let query = Query { pubsub_topic, content_topics, range: KeyRange::ALL, newest_first, limit };
        let key_of = |n: usize| key(&expected[n].0);
        let found = archive.query(&query.after(&key_of(8))).unwrap().messages;
        let found: Vec<Key> = found.iter().map(|message| message.key).collect();
        assert_eq!(found, if newest_first { [key_of(6), key_of(5)] } else { [key_of(9), key_of(10)] });
    }
}

fn expected_time(n: u64) -> u64 {
    key(&nth(n)).timestamp()
}

/// However rare what is sought, a call ends soon; whoever goes on finds it.
fn a_query_looks_at_a_bounded_number_of_messages(make: Make<'_>) {
    let other = Filter { pubsub_topic: model::OTHER.to_owned(), content_topics: BTreeSet::new() };
    let archive = make(options(vec![filter(&[]), other]));
    let bodies: Vec<_> = (0..25_000).map(nth).collect();
    admit(&*archive, &bodies.iter().map(live).collect::<Vec<_>>());
    let rare = body(NOW - 1, "z", b"rare");
    admit(&*archive, &[Candidate { body: rare, origin: Origin::Topic(model::OTHER.to_owned()) }]);
    let limit = PageLimit { messages: 10, bytes: usize::MAX };
    let query = Query {
        pubsub_topic: Some(model::OTHER.to_owned()),
        content_topics: BTreeSet::new(),
        range: KeyRange::ALL,
        newest_first: false,
        limit,
    };
    let first = archive.query(&query).unwrap();
    assert!(first.messages.is_empty() && first.rest.is_some());
    let pages = pages_of(&*archive, query);
    assert!((2..10).contains(&pages.len()), "{}", pages.len());
    assert_eq!(pages.concat().len(), 1);
}

fn finds_by_id(make: Make<'_>) {
    let archive = make(options(vec![filter(&[])]));
    let bodies: Vec<_> = (0..10).map(nth).collect();
    admit(&*archive, &bodies.iter().map(live).collect::<Vec<_>>());
    let ids = [key(&bodies[3]).id(), key(&nth(1000)).id(), key(&bodies[1]).id(), key(&bodies[3]).id()];
    let found = archive.get_by_id(&ids).unwrap();
    let found: Vec<_> = found.into_iter().map(|message| message.map(|message| message.body)).collect();
    assert_eq!(found, [Some(bodies[3].clone()), None, Some(bodies[1].clone()), Some(bodies[3].clone())]);
}

/// Panics over messages whose payload begins with `bad`.
struct Panics;

impl Validator for Panics {
    fn validate(&self, topic: &str, header: &Header<'_>, body: &[u8]) -> Result<(), String> {
        NoBad.validate(topic, header, body).map_err(|_| panic!("expected by the test"))
    }
}

fn a_validator_that_panics_refuses(make: Make<'_>) {
    let all = filter(&[]);
    let mut given = options(vec![all.clone()]);
    given.validator = Some(Arc::new(Panics));
    let archive = make(given);
    let bad = body(NOW, "a", b"bad");
    let admitted = admit(&*archive, &[live(&nth(0)), live(&bad), live(&nth(1))]);
    assert!(matches!(
        admitted.as_slice(),
        [Admission::Stored(_), Admission::Refused(_, RefusalReason::Invalid(_)), Admission::Stored(_)]
    ));
    assert_eq!(kept(&*archive, &all).len(), 2);
}
