//! A neighbour that negotiates the protocol and then sends garbage, a frame beyond every bound, or nothing: the node ends the
//! stream or waits, and repairs from an honest neighbour meanwhile.
//!
//! The bad neighbour is a real libp2p node of this test's own. It misbehaves on streams that it opens, and on those that the
//! victim opens to it to ask for messages.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use tokio::sync::mpsc;

use crate::harness::{Node, PATIENCE, Trace, export, import, turn};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/hearken/sync/1.0.0");

/// What the bad neighbour does with a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Conduct {
    /// Sends well-framed bytes that are no message of the protocol.
    Garbage,
    /// Announces a frame of a gibibyte, and sends on and on.
    Oversized,
    /// Sends half of a frame and no more.
    HalfFrame,
    /// Neither sends nor reads.
    Nothing,
}

#[test]
fn garbage_ends_the_stream_and_does_no_harm() {
    survives(Conduct::Garbage);
}

#[test]
fn an_oversized_frame_ends_the_stream_and_does_no_harm() {
    survives(Conduct::Oversized);
}

#[test]
fn half_a_frame_does_no_harm() {
    survives(Conduct::HalfFrame);
}

#[test]
fn silence_does_no_harm() {
    survives(Conduct::Nothing);
}

/// On which streams the bad neighbour misbehaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    /// On one that it opens, where it should ask.
    Asking,
    /// On those that the victim opens to it, where it should answer.
    Answering,
}

fn survives(conduct: Conduct) {
    let _turn = turn();
    for side in [Side::Asking, Side::Answering] {
        println!("{conduct:?}, {side:?}");
        survives_on(conduct, side);
    }
}

/// A node with holes is connected to a bad neighbour first and to an honest one then. It must become equal to the honest one.
fn survives_on(conduct: Conduct, side: Side) {
    let trace = Trace::generate(40, 500);
    let (honest_data, victim_data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    import(honest_data.path(), &trace);
    let own = trace.pick(|index| index % 3 != 0);
    import(victim_data.path(), &own);

    let victim = Node::start(victim_data.path(), &[]);
    let bad = Neighbour::connect(victim.address(), conduct, side);
    bad.misbehaves();
    let honest = Node::start(honest_data.path(), &[victim.address()]);
    victim.repairs(trace.len() - own.len());
    let broken = matches!(conduct, Conduct::Garbage | Conduct::Oversized);
    if broken {
        bad.stream_ended();
    }
    let memory = peak_memory(&victim);
    assert!(memory.is_none_or(|kib| kib < 300 << 10), "the victim used {memory:?} KiB");

    honest.stop().success();
    let said = victim.stop().success();
    assert!(!said.stderr.contains("panicked"), "{said:#?}");
    assert_eq!(said.stderr.contains("broke the sync protocol"), broken, "{said:#?}");
    assert_eq!(export(victim_data.path()), trace.messages());
}

/// The most memory the process ever held, in KiB, where the system tells.
fn peak_memory(node: &Node) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.id())).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

/// The bad neighbour, on a runtime of its own, until it is dropped.
struct Neighbour {
    // Dropping it ends all its tasks.
    runtime: tokio::runtime::Runtime,
    events: tokio::sync::Mutex<mpsc::Receiver<Event>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    /// It has done what it does, on one stream.
    Misbehaved,
    /// The victim has ended such a stream.
    Ended,
}

impl Neighbour {
    /// Connects to the victim.
    fn connect(victim: &str, conduct: Conduct, side: Side) -> Neighbour {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (report, events) = mpsc::channel(1024);
        let address: Multiaddr = victim.parse().unwrap();
        runtime.spawn(run(address, conduct, side, report));
        Neighbour { runtime, events: events.into() }
    }

    #[track_caller]
    fn misbehaves(&self) {
        self.expect(Event::Misbehaved);
    }

    #[track_caller]
    fn stream_ended(&self) {
        self.expect(Event::Ended);
    }

    #[track_caller]
    fn expect(&self, wanted: Event) {
        let found = self.runtime.block_on(async {
            let mut events = self.events.lock().await;
            let found = async {
                while events.recv().await? != wanted {}
                Some(())
            };
            tokio::time::timeout(PATIENCE, found).await
        });
        assert!(matches!(found, Ok(Some(()))), "expected {wanted:?} within {PATIENCE:?}");
    }
}

async fn run(victim: Multiaddr, conduct: Conduct, side: Side, report: mpsc::Sender<Event>) {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .unwrap()
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    let mut incoming = swarm.behaviour().new_control().accept(PROTOCOL).unwrap();
    let answering = report.clone();
    tokio::spawn(async move {
        while let Some((_, stream)) = incoming.next().await {
            if side == Side::Answering {
                tokio::spawn(misbehave(stream, conduct, answering.clone()));
            }
        }
    });
    swarm.dial(victim).unwrap();
    while let Some(event) = swarm.next().await {
        if let SwarmEvent::ConnectionEstablished { peer_id, .. } = event
            && side == Side::Asking
        {
            let control = swarm.behaviour().new_control();
            tokio::spawn(open(control, peer_id, conduct, report.clone()));
        }
    }
}

async fn open(mut control: libp2p_stream::Control, victim: PeerId, conduct: Conduct, report: mpsc::Sender<Event>) {
    let stream = control.open_stream(victim, PROTOCOL).await.expect("a node speaks the protocol");
    misbehave(stream, conduct, report).await;
}

async fn misbehave(mut stream: Stream, conduct: Conduct, report: mpsc::Sender<Event>) {
    let sent = match conduct {
        Conduct::Garbage => stream.write_all(&[&[64][..], &[0xff; 64]].concat()).await,
        // Length 2^30 as a varint, then as much as the victim takes.
        Conduct::Oversized => stream.write_all(&[&[0x80, 0x80, 0x80, 0x80, 0x04][..], &[0x0a; 8 << 20]].concat()).await,
        Conduct::HalfFrame => stream.write_all(&[200, 1, 0x0a, 0x10]).await,
        Conduct::Nothing => Ok(()),
    };
    // A victim that ends the stream while it is written to has judged already.
    let sent = match sent {
        Ok(()) => stream.flush().await,
        failed => failed,
    };
    let _ = report.send(Event::Misbehaved).await;
    if sent.is_ok() && conduct == Conduct::Nothing {
        std::future::pending::<()>().await;
    }
    // What the victim says is read and forgotten, until it ends the stream.
    let mut buffer = [0; 4096];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
    let _ = report.send(Event::Ended).await;
}
