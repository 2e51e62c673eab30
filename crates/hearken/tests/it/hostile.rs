//! Peers that lie, break, stall, or speak something else: the node lives on, and repairs with the others.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use crate::common::stranger::{Stranger, closed, read_frame, write, write_frame};
use crate::common::{Gossip, NOW, Node, PATIENCE, archive, config, group, messages, until};
use hearken::scheduler::Offence;
use hearken::{KeyRange, Notice};
use hearken_wire::{Ask, Frame, FrameReader, RangeWant, RequestId, Salt, Verdict, Want, Window};
use tokio::time::{sleep, timeout};

/// The node repairs with an honest neighbour, whatever went before.
async fn still_repairs(node: Node) {
    let honest = Node::start(archive(&messages(200, 100))).await;
    honest.dial(&node).await;
    until("the node is repaired by its honest neighbour", || node.count() == 200).await;
    honest.stop().await;
    node.stop().await;
}

fn want(request: u64) -> Frame {
    Frame::Want(Want {
        request: RequestId(request),
        group: group(),
        salt: Salt(7),
        holds: Window { from: NOW - 1000 * 1_000_000_000, to: NOW },
        ranges: vec![RangeWant {
            range: KeyRange::between(NOW - 900 * 1_000_000_000, NOW - 30 * 1_000_000_000),
            ask: Ask::All,
        }]
        .into(),
    })
}

async fn offence_of(node: &Node, stranger: &Stranger, bytes: &[u8]) -> Offence {
    let mut notices = node.hearken.notices();
    let mut stream = stranger.open(node).await;
    write(&mut stream, bytes).await;
    closed(&mut stream).await;
    loop {
        let notice = timeout(PATIENCE, notices.recv()).await.unwrap().unwrap();
        if let Notice::Offended { peer, offence } = notice
            && peer == stranger.peer
        {
            return offence;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_closes_the_stream() {
    let node = Node::start(archive(&[])).await;
    let stranger = Stranger::of(&node).await;
    assert_eq!(offence_of(&node, &stranger, &[3, 0xff, 0xff, 0xff]).await, Offence::Garbage);
    still_repairs(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_frame_closes_the_stream() {
    let node = Node::start(archive(&[])).await;
    let stranger = Stranger::of(&node).await;
    assert_eq!(offence_of(&node, &stranger, &[0xff, 0xff, 0xff, 0x7f]).await, Offence::Garbage);
    still_repairs(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_on_a_stream_for_requests_closes_it() {
    let node = Node::start(archive(&[])).await;
    let stranger = Stranger::of(&node).await;
    let mut bytes = bytes::BytesMut::new();
    hearken_wire::encode_frame(&Frame::Done { request: RequestId(1) }, &mut bytes).unwrap();
    assert_eq!(offence_of(&node, &stranger, &bytes).await, Offence::Garbage);
    still_repairs(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_costs_nothing() {
    let node = Node::start(archive(&[])).await;
    let (stranger, _unanswered) = Stranger::accepting(&node).await;
    let _silent = stranger.open(&node).await;
    still_repairs(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_frame_is_not_waited_for() {
    let mut config = config();
    config.limits.frame_timeout = Duration::from_millis(200);
    let node = Node::start_with(archive(&[]), config, Gossip::default()).await;
    let stranger = Stranger::of(&node).await;
    let mut stream = stranger.open(&node).await;
    write(&mut stream, &[100, 1, 2, 3]).await;
    closed(&mut stream).await;
    still_repairs(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_its_answer_is_cut_off() {
    let mut config = config();
    config.limits.frame_timeout = Duration::from_millis(300);
    // More than all buffers between the two hold.
    let node = Node::start_with(archive(&messages(20_000, 1000)), config, Gossip::default()).await;
    let stranger = Stranger::of(&node).await;
    let mut stream = stranger.open(&node).await;
    write_frame(&mut stream, &want(1)).await;
    until("it is being served", || node.status().served > 0).await;
    until("the stream is given up", || node.status().streams == 0).await;
    assert!(node.status().served < 20_000);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_asks_needs_one_stream() {
    let node = Node::start(archive(&messages(5000, 1000))).await;
    let stranger = Stranger::of(&node).await;
    let mut stream = stranger.open(&node).await;
    write_frame(&mut stream, &want(9)).await;
    let mut frames = FrameReader::default();
    let Some(Frame::Answer(answer)) = read_frame(&mut stream, &mut frames).await else {
        panic!("an answer comes first")
    };
    assert!(matches!(answer.verdicts.only(), Some(Verdict::Deliver { count: 5000, .. })), "{answer:?}");
    let mut received = 0;
    loop {
        match read_frame(&mut stream, &mut frames).await.unwrap() {
            Frame::Messages { request: RequestId(9), messages } => received += messages.len(),
            Frame::Done { request: RequestId(9) } => break,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(received, 5000);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_can_be_cancelled() {
    let node = Node::start(archive(&messages(20_000, 1000))).await;
    let stranger = Stranger::of(&node).await;
    let mut stream = stranger.open(&node).await;
    write_frame(&mut stream, &want(1)).await;
    let mut frames = FrameReader::default();
    while !matches!(read_frame(&mut stream, &mut frames).await.unwrap(), Frame::Messages { .. }) {}
    write_frame(&mut stream, &Frame::Cancel { request: RequestId(1) }).await;
    // Its answer overtakes what is left of the first.
    write_frame(&mut stream, &Frame::Want(Want { request: RequestId(2), ranges: Vec::new().into(), ..plain_want() }))
        .await;
    let mut received = 0;
    loop {
        match read_frame(&mut stream, &mut frames).await.unwrap() {
            Frame::Messages { messages, .. } => received += messages.len(),
            Frame::Answer(answer) if answer.request == RequestId(2) => break,
            Frame::Refusal(refusal) if refusal.request == RequestId(2) => break,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(received < 19_000, "the rest was not sent");
    node.stop().await;
}

fn plain_want() -> Want {
    let Frame::Want(want) = want(0) else { unreachable!() };
    want
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_with_garbage_is_not_trusted() {
    let node = Node::start(archive(&[])).await;
    let mut notices = node.hearken.notices();
    let (stranger, mut streams) = Stranger::accepting(&node).await;
    node.hearken.sync_now(group());
    let mut first = timeout(PATIENCE, streams.recv()).await.unwrap().unwrap();
    write(&mut first, &[3, 0xff, 0xff, 0xff]).await;
    let offended = Notice::Offended { peer: stranger.peer, offence: Offence::Garbage };
    let noticed = async {
        loop {
            tokio::select! {
                notice = notices.recv() => if notice.unwrap() == offended { return },
                // The next request may find the stream ended, and open another one before the node has taken in why it ended.
                () = sleep(Duration::from_millis(1)) => node.hearken.sync_now(group()),
            }
        }
    };
    timeout(PATIENCE, noticed).await.expect("the garbage is noticed");
    still_repairs(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_speak_the_protocol_is_left_alone() {
    let node = Node::start(archive(&[])).await;
    let mut notices = node.hearken.notices();
    let stranger = Stranger::of(&node).await;
    node.hearken.sync_now(group());
    let notice = timeout(PATIENCE, notices.recv()).await.unwrap().unwrap();
    assert_eq!(notice, Notice::Unsupported(stranger.peer));
    still_repairs(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_stream_replaces_the_older() {
    let node = Node::start(archive(&messages(10, 100))).await;
    let stranger = Stranger::of(&node).await;
    let mut older = stranger.open(&node).await;
    until("the stream is taken", || node.status().streams >= 1).await;
    let mut newer = stranger.open(&node).await;
    closed(&mut older).await;
    write_frame(&mut newer, &want(1)).await;
    assert!(matches!(read_frame(&mut newer, &mut FrameReader::default()).await, Some(Frame::Answer(_))));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_on_the_way_costs_nothing_but_time() {
    let all = messages(5000, 1000);
    let (a, b) = (Node::start(archive(&all)).await, Node::start(archive(&[])).await);
    b.dial(&a).await;
    until("the transfer has begun", || b.count() > 0).await;
    a.disconnect(b.peer).await;
    until("both have noticed", || a.status().peers == 0 && b.status().peers == 0).await;
    assert_eq!((a.status().streams, b.status().streams), (0, 0));
    b.dial(&a).await;
    until("the rest has come", || b.count() == 5000).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_dropped_unheard_is_opened_again() {
    let node = Node::start(archive(&[])).await;
    let (_stranger, mut streams) = Stranger::accepting(&node).await;
    node.hearken.sync_now(group());
    drop(timeout(PATIENCE, streams.recv()).await.unwrap().unwrap());
    // The request comes once more on the next one.
    let mut stream = timeout(PATIENCE, streams.recv()).await.unwrap().unwrap();
    assert!(matches!(read_frame(&mut stream, &mut FrameReader::default()).await, Some(Frame::Want(_))));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_others_are_limited() {
    let mut config = config();
    config.limits.inbound_streams = 1;
    let node = Node::start_with(archive(&messages(10, 100)), config, Gossip::default()).await;
    let (first, second) = (Stranger::of(&node).await, Stranger::of(&node).await);
    let mut taken = first.open(&node).await;
    write_frame(&mut taken, &want(1)).await;
    assert!(read_frame(&mut taken, &mut FrameReader::default()).await.is_some());
    closed(&mut second.open(&node).await).await;
    drop(first);
    until("there is room again", || node.status().streams == 0).await;
    let mut taken = second.open(&node).await;
    write_frame(&mut taken, &want(1)).await;
    assert!(read_frame(&mut taken, &mut FrameReader::default()).await.is_some());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_identify_says_spares_a_negotiation() {
    let mut quiet = config();
    quiet.engine.sync_on_boot = false;
    quiet.engine.sync_on_reconnect = false;
    quiet.engine.probe = false;
    let node = Node::start_with(archive(&[]), quiet, Gossip::default()).await;
    let (stranger, mut streams) = Stranger::accepting(&node).await;
    let mut notices = node.hearken.notices();
    until("it is connected", || node.status().peers == 1).await;
    node.hearken.on_protocols(stranger.peer, &[libp2p::StreamProtocol::new("/other/1")]);
    let notice = timeout(PATIENCE, notices.recv()).await.unwrap().unwrap();
    assert_eq!(notice, Notice::Unsupported(stranger.peer));
    node.hearken.sync_now(group());
    // The report is made after the probe would have been.
    let report = node.hearken.report().await.unwrap();
    assert_eq!((report.groups.len(), report.peers.len()), (1, 1));
    assert!(streams.try_recv().is_err() && node.status().exchanges == 0);
    node.stop().await;
}
