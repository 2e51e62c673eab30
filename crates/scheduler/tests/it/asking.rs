//! Whom one engine asks. What a neighbour's sketch shows to be missing is asked for, unless it came meanwhile (an answer is made of the
//! index as it stood when a thread was free for it) or waits to be asked for elsewhere. What is missing by a neighbour's word is asked of
//! that neighbour, or shared among all where it is much.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use hearken_scheduler::{
    Action, Admitted, Config, Difference, Engine, Event, GossipId, Job, JobResult, Now, Ticket, View,
};
use hearken_tree::{GroupId, Id, Key, KeyRange, Tree};
use hearken_wire::{Answer, Ask, Frame, RequestId, Salt, Want, Window};

const GROUP: GroupId = GroupId([3; 16]);
const SECOND: u64 = 1_000_000_000;
const EPOCH: u64 = 1_700_000_000 * SECOND;
/// Has everything.
const GIVER: u32 = 1;
/// Has a part, and tells so by sketches.
const TELLER: u32 = 2;
/// What all hold settled.
const HOLDS: Window = Window { from: EPOCH - 3600 * SECOND, to: EPOCH - 60 * SECOND };

fn view(keys: &[Key]) -> View {
    let set = Tree::from_sorted(keys.iter().copied()).unwrap().snapshot();
    View { kept: set.clone(), held: set }
}

/// An engine, and what it wants done.
struct Alone {
    engine: Engine<u32>,
    held: View,
    jobs: Vec<(Ticket, Job)>,
    sent: Vec<(u32, Frame)>,
    admissions: Vec<(Ticket, Vec<Bytes>)>,
}

impl Alone {
    fn holding(keys: &[Key]) -> Alone {
        let config = Config::default();
        let group = config.group(GROUP);
        let engine = Engine::new(config, [group], 1, Alone::now()).unwrap();
        Alone { engine, held: view(keys), jobs: Vec::new(), sent: Vec::new(), admissions: Vec::new() }
    }

    fn now() -> Now {
        Now { monotonic: Duration::from_secs(1), unix: EPOCH }
    }

    fn event(&mut self, event: Event<u32>) {
        self.engine.handle(event, Alone::now());
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Index { ticket, job, .. } => self.jobs.push((ticket, job)),
                Action::Send { to, frame } => self.sent.push((to, frame)),
                Action::Admit { ticket, messages, .. } => self.admissions.push((ticket, messages)),
                _ => {}
            }
        }
    }

    /// Runs what is to be computed, on what it held at first, until nothing is left.
    fn compute(&mut self) {
        while let Some((ticket, job)) = self.jobs.pop() {
            let result = job.run(&self.held);
            self.event(Event::Indexed { ticket, result });
        }
    }

    /// The last request that was sent.
    fn want(&mut self) -> Want {
        match self.sent.pop() {
            Some((GIVER, Frame::Want(want))) => want,
            other => panic!("{other:?}"),
        }
    }

    fn answered_by(&mut self, keys: &[Key], want: Want) {
        let (request, holds, all) = (want.request, want.holds, KeyRange::ALL);
        let job = Job::Answer { want, within: all, budget: u64::MAX, spans: usize::MAX };
        let Ok(JobResult::Answered { verdicts, .. }) = job.run(&view(keys)) else { panic!("no answer") };
        let answer = Frame::Answer(Answer { request, holds, verdicts: verdicts.into() });
        self.event(Event::Frame { from: GIVER, frame: answer });
    }

    /// The teller holds `keys` and sketches them: what comes of looking that up.
    fn sketched(&mut self, keys: &[Key], request: u64) -> Event<u32> {
        let range = KeyRange::between(HOLDS.from, HOLDS.to);
        let ours = keys.len() as u64;
        let difference = Difference { range, theirs: 2 * ours, ours, before: None, apart: None };
        let plan = Job::Plan {
            salt: Salt(9),
            differences: vec![difference],
            part: 0..1,
            confirmed: true,
            again: false,
            hidden: 0,
        };
        let Ok(JobResult::Planned(ranges)) = plan.run(&view(keys)) else { panic!("no plan") };
        let request = RequestId(request);
        let want = Want { request, group: GROUP, salt: Salt(9), holds: HOLDS, ranges: ranges.into() };
        self.event(Event::Frame { from: TELLER, frame: Frame::Want(want) });
        let (ticket, job) = self.jobs.pop().unwrap();
        Event::Indexed { ticket, result: job.run(&self.held) }
    }

    fn asks_back(&self) -> bool {
        let ids = |frame: &Frame| matches!(frame, Frame::Want(want) if want.ranges.iter().any(|r| matches!(r.ask, Ask::Ids(_))));
        self.sent.iter().any(|(to, frame)| *to == TELLER && ids(frame))
    }
}

fn keys() -> Vec<Key> {
    (0..100).map(|at: u64| Key::new(EPOCH - (1000 - at) * SECOND, Id(blake3::hash(&at.to_be_bytes()).into()))).collect()
}

/// Whether the empty node asks the teller for what its sketch shows to be missing, if that `came` from the giver while the answer
/// was computed.
fn asks_back(came: bool) -> bool {
    let keys = keys();
    let mut node = Alone::holding(&[]);

    node.event(Event::Connected(GIVER));
    node.compute();
    let probe = node.want();

    node.event(Event::Connected(TELLER));
    let looked_up = node.sketched(&keys[..20], 7);

    if came {
        node.answered_by(&keys, probe);
        node.compute();
        let want = node.want();
        let request = want.request;
        assert!(want.ranges.iter().all(|range| range.ask == Ask::All), "{want:?}");
        node.answered_by(&keys, want);
        let messages = keys.iter().map(|key| Bytes::copy_from_slice(key.as_bytes())).collect();
        node.event(Event::Frame { from: GIVER, frame: Frame::Messages { request, messages } });
        node.event(Event::Frame { from: GIVER, frame: Frame::Done { request } });
        let (ticket, messages) = node.admissions.pop().unwrap();
        let outcome = Admitted { stored: messages.len() as u64, ..Admitted::default() };
        node.event(Event::Admitted { ticket, outcome });
    }
    node.event(looked_up);
    node.asks_back()
}

#[test]
fn what_came_meanwhile_is_not_asked_for_again() {
    assert!(asks_back(false));
    assert!(!asks_back(true));
}

/// The giver has forwarded an announcement of messages that it lacks, so that they wait to be asked for elsewhere. The teller sketches so many
/// keys, time after time, after it has perhaps `lied`: how often until it is asked.
fn asked_back_after(announced: usize, sketched: usize, lied: bool) -> Option<u64> {
    let keys = keys();
    let mut node = Alone::holding(&[]);
    node.event(Event::Connected(GIVER));
    node.compute();
    let probe = node.want();
    node.answered_by(&[], probe);

    let job = Job::Summarise { group: GROUP, window: HOLDS, spans: 1, salt: Salt(3), budget: usize::MAX };
    let Ok(JobResult::Summary(ihave)) = job.run(&view(&keys[..announced])) else { panic!("no summary") };
    node.event(Event::Gossip { from: GIVER, id: GossipId(1), ihave });
    node.compute();
    let want = node.want();
    node.answered_by(&[], want);

    node.event(Event::Connected(TELLER));
    if lied {
        node.event(Event::Garbage(TELLER));
    }
    (1..4).find(|request| {
        let looked_up = node.sketched(&keys[..sketched], *request);
        node.event(looked_up);
        node.asks_back()
    })
}

#[test]
fn what_waits_is_asked_for_when_it_is_shown_twice() {
    assert_eq!(asked_back_after(20, 20, false), Some(2));
    assert_eq!(asked_back_after(21, 20, false), None, "not all of it is there");
    assert_eq!(asked_back_after(20, 20, true), None, "by the word of one that has lied");
}

/// Whom a node asks that lacks so many in 256 of 20,000 messages by the word of the giver, which lacks a few others.
fn asked_for(lost: u8) -> BTreeSet<u32> {
    let age = |at: u64| (400 + 3_000 * at / 20_000) * SECOND;
    let all = (0..20_000).map(|at| Key::new(EPOCH - age(at), Id(blake3::hash(&at.to_be_bytes()).into())));
    let without = |byte: usize, lost: u8| -> Vec<Key> {
        let mut left: Vec<Key> = all.clone().filter(|key| key.id().0[byte] >= lost).collect();
        left.sort_unstable();
        left
    };
    let mut node = Alone::holding(&without(0, lost));
    node.event(Event::Connected(GIVER));
    node.compute();
    let probe = node.want();
    node.event(Event::Connected(TELLER));
    node.answered_by(&without(1, 2), probe);
    node.compute();
    assert!(node.sent.iter().all(|(_, frame)| matches!(frame, Frame::Want(_))), "{:?}", node.sent);
    node.sent.iter().map(|(to, _)| *to).collect()
}

#[test]
fn few_of_many_are_asked_of_who_said_so() {
    assert_eq!(asked_for(20), BTreeSet::from([GIVER]));
    assert_eq!(asked_for(60), BTreeSet::from([GIVER, TELLER]), "much is shared");
}
