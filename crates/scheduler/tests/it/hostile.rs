//! Peers that lie, stall, flood or send nonsense: honest nodes become equal all the same, and know whom to blame.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::{collections::BTreeSet, time::Duration};

use crate::net::{self, GROUP, Hostile, Net, keys, test_config};
use bytes::Bytes;
use hearken_scheduler::{Action, Event, GossipId, GossipVerdict, Now, Offence, View};
use hearken_tree::{Fingerprint, Key, KeyRange};
use hearken_wire::{
    Answer, Ask, Frame, Ihave, RangeWant, Refusal, RefusalReason, RequestId, Salt, SaltedSpan, Summary, Verdict, Want,
    Window,
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const INTERVAL: Duration = Duration::from_secs(30);

fn answer(want: &Want, verdict: impl Fn(&RangeWant) -> Verdict) -> Frame {
    let verdicts = want.ranges.iter().map(|want| verdict(&want)).collect();
    Frame::Answer(Answer { request: want.request, holds: want.holds, verdicts })
}

fn fake(rng: &mut ChaCha8Rng, range: &KeyRange, count: u64) -> SaltedSpan {
    let fingerprint = Fingerprint { digest: hearken_tree::Digest(rng.random()), count };
    SaltedSpan { range: *range, fingerprint: Salt(1).shorten(&fingerprint) }
}

/// Promises messages and does not send them.
fn withholds(_: &mut ChaCha8Rng, frame: &Frame) -> Vec<Frame> {
    let Frame::Want(want) = frame else { return Vec::new() };
    vec![answer(want, |_| Verdict::Deliver { count: 7, lacks: Vec::new() })]
}

/// Says that it is done before it has sent what it promised.
fn cheats(_: &mut ChaCha8Rng, frame: &Frame) -> Vec<Frame> {
    let mut frames = withholds(&mut ChaCha8Rng::seed_from_u64(0), frame);
    if let Frame::Want(want) = frame {
        frames.push(Frame::Done { request: want.request });
    }
    frames
}

/// Sends messages that nobody asked for.
fn pushes(rng: &mut ChaCha8Rng, frame: &Frame) -> Vec<Frame> {
    let Frame::Want(want) = frame else { return Vec::new() };
    let message = Bytes::copy_from_slice(Key::new(rng.random(), hearken_tree::Id(rng.random())).as_bytes());
    let check = want.ranges.iter().any(|want| matches!(want.ask, Ask::Check(_)));
    let verdict = |_: &RangeWant| if check { Verdict::Equal } else { Verdict::Deliver { count: 1, lacks: Vec::new() } };
    vec![answer(want, verdict), Frame::Messages { request: want.request, messages: vec![message; want.ranges.len()] }]
}

/// Sends one message more than it promised, all of them from the range.
fn overdelivers(rng: &mut ChaCha8Rng, frame: &Frame) -> Vec<Frame> {
    let Frame::Want(want) = frame else { return Vec::new() };
    let promises = |asked: &RangeWant| match asked.ask {
        Ask::Check(_) => Verdict::Equal,
        _ => Verdict::Deliver { count: 1, lacks: Vec::new() },
    };
    let message = |time: u64| Bytes::copy_from_slice(Key::new(time, hearken_tree::Id(rng.random())).as_bytes());
    let more = want.ranges.len() as u64 + 1;
    let start = want.ranges.iter().next().unwrap().range.start().timestamp();
    let messages = (0..more).map(|at| start + at).map(message).collect();
    vec![answer(want, promises), Frame::Messages { request: want.request, messages }]
}

/// Answers with too many verdicts.
fn miscounts(_: &mut ChaCha8Rng, frame: &Frame) -> Vec<Frame> {
    let Frame::Want(want) = frame else { return Vec::new() };
    let mut frame = answer(want, |_| Verdict::Outside);
    if let Frame::Answer(answer) = &mut frame {
        answer.verdicts = answer.verdicts.iter().chain([Verdict::Outside]).collect();
    }
    vec![frame]
}

/// Both halves of a range, each with 1,000 messages; `None` if it cannot be halved.
fn halves(rng: &mut ChaCha8Rng, range: &KeyRange) -> Option<Verdict> {
    let (start, end) = (range.start().timestamp(), range.end().timestamp());
    let middle = Key::at(start + (end - start) / 2);
    let halves = [KeyRange::new(range.start(), middle), KeyRange::new(middle, range.end())];
    let spans =
        halves.into_iter().map(|half| half.ok().filter(|half| !half.is_empty()).map(|half| fake(rng, &half, 1000)));
    Summary::new(spans.collect::<Option<Vec<SaltedSpan>>>()?).ok().map(Verdict::Finer)
}

/// Probed, it claims to hold much; asked for it, it promises it and sends nothing.
fn promises(rng: &mut ChaCha8Rng, frame: &Frame) -> Vec<Frame> {
    let Frame::Want(want) = frame else { return Vec::new() };
    match want.ranges.only().filter(|only| matches!(only.ask, Ask::Check(_))).and_then(|only| halves(rng, &only.range))
    {
        Some(verdict) => vec![answer(want, |_| verdict.clone())],
        None => cheats(rng, frame),
    }
}

/// Claims ever finer spans of what does not exist.
fn leads_on(rng: &mut ChaCha8Rng, frame: &Frame) -> Vec<Frame> {
    let Frame::Want(want) = frame else { return Vec::new() };
    let verdicts = want.ranges.iter().map(|want| match want.ask {
        Ask::Check(_) | Ask::Sketch { .. } => halves(rng, &want.range).unwrap_or(Verdict::TooCostly),
        _ => Verdict::TooCostly,
    });
    let verdicts = verdicts.collect();
    vec![Frame::Answer(Answer { request: want.request, holds: want.holds, verdicts })]
}

/// Whenever it is probed it probes as well, before it answers that it holds more; it never goes on with that.
fn talks_over(rng: &mut ChaCha8Rng, frame: &Frame) -> Vec<Frame> {
    let Frame::Want(want) = frame else { return Vec::new() };
    let Some(RangeWant { range, ask: Ask::Check(_) }) = want.ranges.only() else {
        return cheats(rng, frame);
    };
    let probe = Want {
        request: RequestId(rng.random_range(1 << 20..1 << 30)),
        salt: Salt(1),
        ranges: vec![RangeWant {
            range,
            ask: Ask::Check(Salt(1).shorten(&Fingerprint { digest: hearken_tree::Digest([0; 32]), count: 0 })),
        }]
        .into(),
        ..want.clone()
    };
    vec![Frame::Want(probe)].into_iter().chain(leads_on(rng, frame)).collect()
}

/// Takes requests and never answers.
fn sleeps(_: &mut ChaCha8Rng, _: &Frame) -> Vec<Frame> {
    Vec::new()
}

/// Refuses everything, each time for another reason.
fn refuses(rng: &mut ChaCha8Rng, frame: &Frame) -> Vec<Frame> {
    use RefusalReason::{Busy, Failed, RateLimited, TooCostly, UnknownGroup, Unsupported};
    let Frame::Want(want) = frame else { return Vec::new() };
    let reasons = [Busy, Failed, RateLimited, TooCostly, UnknownGroup, Unsupported];
    vec![Frame::Refusal(Refusal { request: want.request, reason: reasons[rng.random_range(0..reasons.len())] })]
}

/// Anything.
fn babbles(rng: &mut ChaCha8Rng, frame: &Frame) -> Vec<Frame> {
    let request = if let Frame::Want(want) = frame { want.request } else { RequestId(rng.random_range(0..40)) };
    match rng.random_range(0..8) {
        0 => withholds(rng, frame),
        1 => pushes(rng, frame),
        2 => miscounts(rng, frame),
        3 => leads_on(rng, frame),
        4 => vec![Frame::Done { request }],
        5 => vec![Frame::Cancel { request }],
        6 => vec![Frame::Messages { request, messages: vec![Bytes::from_static(b"?"); rng.random_range(0..3)] }],
        _ => refuses(rng, frame),
    }
}

/// Ten honest nodes, each lacking a tenth, among which every third is replaced by one that does this.
fn among_honest(hostile: Hostile, seed: u64) -> (Net, Duration) {
    let all = keys(seed, 2000, 60.0, 3500.0);
    let mut net = Net::new(test_config(), seed);
    for node in 0..15 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed * 100 + node);
        net.add(all.iter().copied().filter(|_| !rng.random_bool(0.1)));
        if node % 3 == 2 {
            net.nodes[node as usize].hostile = Some(hostile);
        }
    }
    // Honest nodes form a connected part; each also knows some of the others.
    let honest: Vec<usize> = (0..15).filter(|node| node % 3 != 2).collect();
    for (at, node) in honest.iter().enumerate() {
        net.connect(*node, honest[(at + 1) % honest.len()]);
        net.connect(*node, honest[(at + 3) % honest.len()]);
    }
    for node in honest {
        net.connect(node, (node / 3) * 3 + 2);
        net.connect(node, (node / 3 * 3 + 5) % 15);
    }
    let took = net.run_while(8 * INTERVAL, |net| !net.equal());
    for node in net.honest() {
        assert!(node.offences.iter().all(|(peer, _)| peer % 3 == 2), "an honest node is blamed: {:?}", node.offences);
    }
    (net, took)
}

fn muted_by_all_it_lied_to(net: &Net) -> bool {
    net.honest().all(|node| {
        let muted: Vec<usize> = node.engine.peer_status().filter(|p| p.muted_for.is_some()).map(|p| p.peer).collect();
        node.offences.iter().all(|(peer, _)| muted.contains(peer))
    })
}

#[test]
fn liars_are_muted_and_the_others_become_equal() {
    let liars: [(&str, Hostile); 6] = [
        ("withholds", withholds),
        ("cheats", cheats),
        ("pushes", pushes),
        ("overdelivers", overdelivers),
        ("miscounts", miscounts),
        ("leads on", leads_on),
    ];
    for (name, liar) in liars {
        let (mut net, took) = among_honest(liar, 1);
        let more = net.run_while(20 * INTERVAL, |net| !muted_by_all_it_lied_to(net));
        println!("{name}: equal after {took:?}, all muted {more:?} later");
    }
}

/// A node that starts asks one neighbour. If that lies, another is asked at once, not in the next interval.
#[test]
fn another_is_asked_at_once_in_place_of_a_liar() {
    let all = keys(6, 2000, 60.0, 3500.0);
    let mut net = Net::new(test_config(), 6);
    net.add([]);
    net.add([]);
    net.nodes[1].hostile = Some(cheats);
    net.add(all.iter().copied());
    net.add(all.iter().copied());
    net.connect(2, 3);
    net.connect(0, 1);
    net.run_for(Duration::from_secs(2));
    assert!(net.nodes[0].offences.iter().any(|(peer, _)| *peer == 1));
    net.connect(0, 2);
    let took = net.run_while(2 * INTERVAL, |net| net.nodes[0].traffic.stored < 2000);
    assert!(took <= Duration::from_secs(2), "{took:?}");
}

/// A large repair is followed up with a few neighbours. Those of them that lie tell nothing, and what they made up is not looked for:
/// others are asked in their place, as soon as there are any.
#[test]
fn liars_do_not_end_the_following_up() {
    for seed in 0..10 {
        let all = keys(seed, 2000, 60.0, 3500.0);
        let mut net = Net::new(test_config(), seed);
        net.add([]);
        // The first neighbour lacks a tenth, the last nothing; those between lie.
        net.add(all.iter().enumerate().filter(|(at, _)| at % 10 != 0).map(|(_, key)| *key));
        for _ in 2..8 {
            net.add([]);
        }
        net.add(all.iter().copied());
        net.nodes[2..8].iter_mut().for_each(|node| node.hostile = Some(promises));
        net.connect(0, 1);
        net.run_for(Duration::from_millis(100));
        (2..8).for_each(|liar| net.connect(0, liar));
        net.run_for(Duration::from_secs(5));
        assert_eq!(net.nodes[0].traffic.stored, 1800, "seed {seed}");
        assert!(net.nodes[0].offences.len() >= 3, "seed {seed}");
        net.connect(0, 8);
        let took = net.run_while(2 * INTERVAL, |net| net.nodes[0].traffic.stored < 2000);
        assert!(took <= Duration::from_secs(1), "seed {seed}: {took:?}");
    }
}

/// A node yields to a neighbour that probes it at the same time, and waits for its sketches; once, not for ever.
#[test]
fn who_talks_over_others_does_not_keep_them_waiting() {
    let mut net = Net::new(test_config(), 7);
    net.add(keys(7, 500, 60.0, 3500.0));
    net.add([]);
    net.nodes[1].hostile = Some(talks_over);
    net.connect(0, 1);
    // That its claim was followed shows by the blame for it.
    let took = net.run_while(INTERVAL, |net| net.nodes[0].offences.is_empty());
    assert!(took <= Duration::from_secs(3), "{took:?}");
}

#[test]
fn the_useless_are_got_around() {
    for (name, peer) in [("sleeps", sleeps as Hostile), ("refuses", refuses), ("babbles", babbles)] {
        let (_, took) = among_honest(peer, 2);
        println!("{name}: equal after {took:?}");
    }
}

#[test]
fn a_flood_of_requests_is_refused_and_then_blamed() {
    let mut net = Net::new(test_config(), 3);
    let node = net.add(keys(3, 100, 60.0, 3500.0));
    net.add([]);
    net.nodes[1].hostile = Some(sleeps);
    net.connect(node, 1);
    let window = Window { from: net::EPOCH - 3000 * net::SECOND, to: net::EPOCH - 100 * net::SECOND };
    for request in 0..1000 {
        let ranges = vec![RangeWant { range: window.keys(), ask: Ask::All }].into();
        let want = Want { request: RequestId(request), group: GROUP, salt: Salt(1), holds: window, ranges };
        net.event(node, Event::Frame { from: 1, frame: Frame::Want(want) });
    }
    assert!(net.nodes[node].traffic.answers <= 100);
    assert!(net.nodes[node].offences.iter().all(|(_, offence)| *offence == Offence::Flood));
    assert!(net.nodes[node].engine.peer_status().any(|peer| peer.muted_for.is_some()));
}

#[test]
fn announcements_are_judged() {
    let mut net = Net::new(test_config(), 4);
    let node = net.add(keys(4, 100, 60.0, 3500.0));
    net.run_for(Duration::from_secs(1));
    let window = Window { from: net::EPOCH - 3630 * net::SECOND, to: net::EPOCH - 30 * net::SECOND };
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut ihave = |window: Window, salt: u64| {
        let span = fake(&mut rng, &window.keys(), 5);
        let summary = Summary::new(vec![span]).unwrap();
        Ihave { group: GROUP, window, salt: Salt(salt), root: span.fingerprint, summary }
    };
    let mut judge = |ihave: Ihave| {
        let now = hearken_scheduler::Now { monotonic: Duration::from_secs(1), unix: net::EPOCH + net::SECOND };
        let engine = &mut net.nodes[node].engine;
        engine.handle(Event::Gossip { from: 9, id: GossipId(1), ihave }, now);
        let mut verdict = None;
        while let Some(action) = engine.poll_action() {
            if let Action::Judge { verdict: found, .. } = action {
                verdict = Some(found);
            }
        }
        verdict.unwrap()
    };
    let good = ihave(window, 1);
    assert_eq!(judge(good.clone()), GossipVerdict::Accept);
    assert_eq!(judge(good), GossipVerdict::Ignore, "a replay");
    let day = 86_400 * net::SECOND;
    let ahead = ihave(Window { from: window.from + day, to: window.to + day }, 2);
    assert_eq!(judge(ahead), GossipVerdict::Ignore, "a day ahead");
    let mut contradicts = ihave(window, 3);
    contradicts.root.count += 1;
    assert_eq!(judge(contradicts), GossipVerdict::Reject, "counts contradict each other");
    let mut elsewhere = ihave(window, 4);
    elsewhere.window.from -= 1;
    assert_eq!(judge(elsewhere), GossipVerdict::Reject, "the spans do not cover the window");
    let flood = (5..1000).map(|salt| judge(ihave(window, salt))).filter(|v| *v == GossipVerdict::Accept).count();
    assert!(flood < 150, "{flood} of a flood were forwarded");
}

/// About one of twelve requests, from `first` on.
fn random_frame(rng: &mut ChaCha8Rng, first: RequestId) -> Frame {
    let window = Window { from: net::EPOCH - 3600 * net::SECOND, to: net::EPOCH };
    let at = |rng: &mut ChaCha8Rng| net::EPOCH - rng.random_range(0..4000) * net::SECOND;
    let request = random_request(rng, first);
    if rng.random_bool(0.4) {
        let (a, b) = (at(rng), at(rng));
        let range = KeyRange::between(a.min(b), a.max(b) + 1);
        let words: Vec<u32> = (0..rng.random_range(1..6)).map(|_| rng.random()).collect();
        let shortened = fake(rng, &range, 3).fingerprint;
        let ask = match rng.random_range(0..4) {
            0 => Ask::All,
            1 => Ask::Check(shortened),
            2 => Ask::Sketch { fingerprint: shortened.tiny(), syndromes: words },
            _ => Ask::Ids(words),
        };
        let ranges = vec![RangeWant { range, ask }].into();
        return Frame::Want(Want { request, group: GROUP, salt: Salt(rng.random()), holds: window, ranges });
    }
    let want = Want {
        request,
        group: GROUP,
        salt: Salt(1),
        holds: window,
        ranges: vec![RangeWant { range: window.keys(), ask: Ask::All }; rng.random_range(1..3)].into(),
    };
    babbles(rng, &Frame::Want(want)).pop().unwrap_or(Frame::Done { request })
}

fn random_request(rng: &mut ChaCha8Rng, first: RequestId) -> RequestId {
    RequestId(first.0 + rng.random_range(0..12))
}

fn want_all(request: RequestId) -> Want {
    let holds = Window { from: net::EPOCH - 3600 * net::SECOND, to: net::EPOCH };
    let ranges = vec![RangeWant { range: holds.keys(), ask: Ask::All }].into();
    Want { request, group: GROUP, salt: Salt(7), holds, ranges }
}

/// Whose sketches never decode is no longer told spans, and is served all the same what it can ask for without.
#[test]
fn who_has_used_up_its_spans_is_still_served() {
    let mut net = Net::new(test_config(), 1);
    let (node, peer) = (net.add(keys(1, 5000, 60.0, 3500.0)), net.add([]));
    net.nodes[peer].hostile = Some(sleeps);
    net.connect(node, peer);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut answers = 0;
    for request in 1..1000 {
        net.run_for(Duration::from_millis(200));
        let mut want = want_all(RequestId(request));
        let range = want.holds.keys();
        let fingerprint = fake(&mut rng, &range, 1000).fingerprint.tiny();
        want.ranges = vec![RangeWant { range, ask: Ask::Sketch { fingerprint, syndromes: vec![1, 2] } }].into();
        net.event(node, Event::Frame { from: peer, frame: Frame::Want(want) });
        net.run_for(Duration::from_millis(10));
        if net.nodes[node].traffic.answers == answers {
            break;
        }
        answers = net.nodes[node].traffic.answers;
    }
    assert!((100..500).contains(&answers), "{answers} answers with finer spans");
    net.event(node, Event::Frame { from: peer, frame: Frame::Want(want_all(RequestId(1000))) });
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.nodes[node].traffic.served, 5000);
    assert_eq!(net.nodes[node].offences, []);
}

/// A neighbour still serves requests of a node's former life.
#[test]
fn a_restarted_node_does_not_repeat_the_names_of_its_requests() {
    let first_want = |seed| {
        let mut net = Net::new(test_config(), seed);
        let (node, other) = (net.add([]), net.add(keys(1, 10, 60.0, 3500.0)));
        net.connect(node, other);
        net.run_for(Duration::from_secs(60));
        net.nodes[node].first_want.unwrap()
    };
    let names: BTreeSet<RequestId> = (1..=5).map(first_want).collect();
    assert_eq!(names.len(), 5, "{names:?}");
}

/// Both ends of a connection may give a request the same name: what fails in one direction does not stop the other.
#[test]
fn a_failed_request_leaves_the_peers_own_alone() {
    let mut net = Net::new(test_config(), 1);
    let (node, peer) = (net.add(keys(1, 200, 60.0, 3500.0)), net.add([]));
    net.nodes[peer].hostile = Some(sleeps);
    net.connect(node, peer);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.nodes[node].traffic.wants, 1, "the neighbour is probed, and does not answer");

    let view = View { kept: net.nodes[node].kept.snapshot(), held: net.nodes[node].held.snapshot() };
    let request = net.nodes[node].first_want.unwrap();
    let now = Now { monotonic: net.now, unix: net::EPOCH + net.now.as_nanos() as u64 };
    let engine = &mut net.nodes[node].engine;
    engine.handle(Event::Frame { from: peer, frame: Frame::Want(want_all(request)) }, now);
    let Some(Action::Index { ticket, job, .. }) = engine.poll_action() else { panic!("the request is worked on") };
    engine.handle(Event::SendFailed { to: peer, request }, now);
    engine.handle(Event::Indexed { ticket, result: job.run(&view) }, now);
    let actions: Vec<_> = std::iter::from_fn(|| engine.poll_action()).collect();
    let answered = |action: &Action<usize>| matches!(action, Action::Send { frame: Frame::Answer(_), .. });
    assert!(actions.iter().any(answered), "{actions:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever frames come, in whatever order: no panic, no deadline in the past (the network checks), nothing stored that
    /// was not asked for.
    #[test]
    fn any_frames_in_any_order(seed in any::<u64>()) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut net = Net::new(test_config(), seed);
        let node = net.add(keys(seed, 200, 60.0, 3500.0));
        for _ in 0..4 {
            let peer = net.add([]);
            net.nodes[peer].hostile = Some(sleeps);
            net.connect(node, peer);
        }
        for _ in 0..200 {
            let peer = rng.random_range(1..6);
            let first = net.nodes[node].first_want.unwrap_or(RequestId(0));
            match rng.random_range(0..20) {
                0 if peer < 5 && net.nodes[node].peers.contains(&peer) => net.disconnect(node, peer),
                0 | 1 if peer < 5 => net.connect(node, peer),
                2 => net.event(node, Event::Unsupported(peer)),
                3 => net.event(node, Event::Garbage(peer)),
                4 => net.event(node, Event::SendFailed { to: peer, request: random_request(&mut rng, first) }),
                5 => net.event(node, Event::SyncNow(GROUP)),
                6 => net.run_for(Duration::from_millis(rng.random_range(1..20_000))),
                _ => {
                    let frame = random_frame(&mut rng, first);
                    net.event(node, Event::Frame { from: peer, frame });
                }
            }
        }
        prop_assert_eq!(net.nodes[node].traffic.stored, 0);
    }
}
