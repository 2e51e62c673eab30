//! One round trip from an announcement to the last missing message, over a warm stream and a slow wire.
#![allow(clippy::unwrap_used)]

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::common::{AHEAD, Gossip, NOW, Node, PATIENCE, SECOND, TOPIC, archive, config, messages, until};
use hearken::archive::{Candidate, Committer, CommitterOptions, Origin};
use libp2p::Multiaddr;
use tokio::time::{sleep, timeout};

/// What the proxy adds: half of it each way.
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// Stands before a node, passes bytes on half a round trip late, and counts them.
struct Proxy {
    address: Multiaddr,
    bytes: Arc<AtomicU64>,
}

impl Proxy {
    fn before(node: &Node) -> Proxy {
        let target = socket(&node.address);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr().unwrap().port()).parse().unwrap();
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = bytes.clone();
        thread::spawn(move || {
            for near in listener.incoming() {
                let (near, far) = (near.unwrap(), TcpStream::connect(&target).unwrap());
                for stream in [&near, &far] {
                    stream.set_nodelay(true).unwrap();
                }
                delay(near.try_clone().unwrap(), far.try_clone().unwrap(), counted.clone());
                delay(far, near, counted.clone());
            }
        });
        Proxy { address, bytes }
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

/// Reads on while what was read before is on its way, as a wire does. On threads of its own, which sleep to a tenth of a millisecond: the
/// runtime's timers would add one or two to each way.
fn delay(mut read: TcpStream, mut write: TcpStream, count: Arc<AtomicU64>) {
    let (on_its_way, arriving) = mpsc::sync_channel::<(Instant, Vec<u8>)>(4096);
    thread::spawn(move || {
        for (at, bytes) in arriving {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if write.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = write.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = read.read(&mut buffer) {
            count.fetch_add(length as u64, Relaxed);
            if on_its_way.send((Instant::now() + ROUND_TRIP / 2, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
}

fn socket(address: &Multiaddr) -> String {
    let parts: Vec<_> = address.to_string().split('/').map(str::to_owned).collect();
    format!("{}:{}", parts[2], parts[4])
}

/// What one repair took.
#[derive(Debug)]
struct Repair {
    /// From the IHAVE's arrival until the last missing message was stored.
    took: Duration,
    /// On the wire, both ways, from then to then: encrypted, with what gossipsub says meanwhile.
    bytes: u64,
    /// Sent meanwhile.
    requests: u64,
}

const MISSING: usize = 100;
/// What is missing before that.
const WARMING: usize = 5;
const SIZE: usize = 200;

/// Two nodes that hold `held` messages; one gets a hundred more that the other lacks, of any age; so `rounds` times.
async fn repairs(held: usize, rounds: usize) -> Vec<Repair> {
    // Only announcements set anything off, but for the probe that opens the streams.
    let mut config = config();
    config.engine.probe = false;
    config.engine.idle_trigger = Duration::ZERO;
    config.engine.limits.request_timeout = PATIENCE;
    let silent = {
        let mut silent = config.clone();
        silent.engine.announce = false;
        silent
    };
    config.engine.sync_on_boot = false;
    config.engine.sync_on_reconnect = false;

    let all = messages((held + rounds * MISSING) as u64, SIZE);
    // Every so manieth is missing, each round others.
    let step = all.len() / (rounds * MISSING);
    let round_of = |at: usize| (at % step == step / 2 && at / step < rounds * MISSING).then_some(at / step % rounds);
    let base: Vec<Vec<u8>> =
        (0..).zip(&all).filter(|(at, _)| round_of(*at).is_none()).map(|(_, body)| body.clone()).collect();
    let provider = Node::start_with(archive(&base), config, Gossip::default()).await;
    // When messages arrive is asked, not when they are stored: a commit waits for nothing here.
    let store = archive(&base[WARMING..]);
    let options = CommitterOptions { linger: Duration::ZERO, ..CommitterOptions::default() };
    let committer = Arc::new(Committer::spawn(store.clone(), || NOW, options).unwrap());
    let requester = Node::start_storing(store, silent, Gossip::default(), Some(committer)).await;
    let proxy = Proxy::before(&provider);
    requester.dial_at(proxy.address.clone()).await;
    // The first repair opens the streams.
    until("the nodes are equal", || requester.status().repaired == WARMING as u64).await;

    let mut repairs = Vec::new();
    for round in 0..rounds {
        let new: Vec<Candidate> = (0..)
            .zip(&all)
            .filter(|(at, _)| round_of(*at) == Some(round))
            .map(|(_, body)| Candidate { body: body.clone().into(), origin: Origin::Topic(TOPIC.to_owned()) })
            .collect();
        assert_eq!(new.len(), MISSING);
        let before = requester.count();
        // A neighbour that was found equal up to a horizon is not asked about what lies before it for a while.
        AHEAD.fetch_add(10 * SECOND, Relaxed);
        provider.archive.admit(&new, NOW).unwrap();
        repairs.push(repair(&requester, &proxy, before + MISSING as u64).await);
    }
    let repaired = (WARMING + rounds * MISSING) as u64;
    until("everything is counted", || requester.status().repaired == repaired).await;
    let status = requester.status();
    assert_eq!((status.duplicates, status.unasked), (0, 0), "{status:?}");
    requester.stop().await;
    provider.stop().await;
    repairs
}

/// Waits until the requester holds so many. Announcements from before may still be on their way: the last one heard before it
/// asks is the one that tells.
async fn repair(requester: &Node, proxy: &Proxy, whole: u64) -> Repair {
    let asked = requester.status().exchanges;
    let mut heard = (requester.status().heard, Instant::now(), proxy.bytes());
    let mut asking = false;
    let done = timeout(PATIENCE, async {
        while requester.count() < whole {
            let status = requester.status();
            if status.heard > heard.0 && !asking {
                heard = (status.heard, Instant::now(), proxy.bytes());
            }
            asking = status.exchanges > asked;
            sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(done.await.is_ok(), "{} of {whole}: {:?}", requester.count(), requester.status());
    let requests = requester.status().exchanges - asked;
    Repair { took: heard.1.elapsed(), bytes: proxy.bytes() - heard.2, requests }
}

/// What is asked: round trips from the announcement to the last message, at most.
const MOST: f64 = 1.2;

/// No more round trips than asked, in the median.
async fn check(held: usize, rounds: usize) {
    let mut repairs = repairs(held, rounds).await;
    repairs.sort_by_key(|repair| repair.took);
    for repair in &repairs {
        println!(
            "{MISSING} missing of {held}: {} requests, {:.2} round trips, {} bytes on the wire",
            repair.requests,
            repair.took.as_secs_f64() / ROUND_TRIP.as_secs_f64(),
            repair.bytes
        );
        let payload = (MISSING * SIZE) as u64;
        assert!(repair.bytes >= payload && repair.bytes < payload + 6_000, "{repair:?}");
    }
    let (quickest, median) = (repairs[0].took, repairs[rounds / 2].took);
    assert!(quickest >= ROUND_TRIP, "{quickest:?} is less than the wire takes");
    assert!(median <= ROUND_TRIP.mul_f64(MOST), "{median:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_message_comes_one_round_trip_after_the_announcement() {
    check(20_000, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: a million messages, and measured with --release"]
async fn the_same_with_a_million() {
    check(1_000_000, 5).await;
}
