//! One of five nodes refuses every twentieth message by a validator of its own: the others become equal, it becomes equal but for
//! those, and no refused payload is sent to it twice, not even after a restart.
//!
//! A validator is what a program that embeds Hearken brings along, so these nodes run in this process: each a host with its
//! own swarm, gossipsub, TCP port and archive file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::StreamExt;
use hearken::{AntiEntropy, Config, SystemClock};
use hearken_archive::{
    Admission, AdmitError, Archive, ArchiveOptions, Candidate, Embedded, EmbeddedOptions, Filter, Header, Limits,
    Origin, PageLimit, ReadError, StoredMessage, Validator, View,
};
use hearken_tree::{GroupId, Id, Key, KeyRange};
use hearken_waku::{WakuFormat, WakuMessage};
use libp2p::gossipsub::{self, MessageAuthenticity, MessageId, ValidationMode};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, SwarmBuilder, noise, tcp, yamux};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::harness::{PATIENCE, turn};

const TOPIC: &str = "/waku/2/rs/66/0";
const MESSAGES: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_five_refuses_a_twentieth_and_is_equal_but_for_those() {
    let _turn = tokio::task::block_in_place(turn);
    let seed = 50;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let all = messages(&mut random);
    let folders: Vec<_> = (0..5).map(|_| tempfile::tempdir().unwrap()).collect();
    let validator = |place: usize| (place == 0).then(|| Arc::new(Twentieth) as Arc<dyn Validator>);
    for (place, folder) in folders.iter().enumerate() {
        let part: Vec<_> = all.iter().filter(|_| random.random_bool(0.9)).map(|body| live(body.clone())).collect();
        open(folder.path(), validator(place)).admit(&part, now()).unwrap();
    }

    let mut hosts: Vec<Host> = Vec::new();
    for (place, folder) in folders.iter().enumerate() {
        let peers: Vec<Multiaddr> = hosts.iter().map(|host| host.address.clone()).collect();
        hosts.push(Host::start(folder.path(), validator(place), &peers).await);
    }
    let expected: BTreeSet<Id> = all.iter().map(id).collect();
    let wanted: BTreeSet<Id> = expected.iter().filter(|id| !refuses(id)).copied().collect();
    println!("{} messages, {} of them refused by one node", all.len(), expected.len() - wanted.len());
    let equal = |hosts: &[Host]| hosts[0].ids() == wanted && hosts[1..].iter().all(|host| host.ids() == expected);
    until("all are equal, but for what one refuses", || equal(&hosts)).await;
    let compared = exchanges(&hosts);
    until("all have compared again, several times", || exchanges(&hosts) > compared + 20).await;
    assert!(equal(&hosts), "they were equal once, and are not any more");
    let refused = hosts[0].delivered_once(&expected);
    assert!(refused > 0, "nothing was refused");

    let mut hosts = hosts.into_iter();
    hosts.next().unwrap().stop().await;
    let others: Vec<Host> = hosts.collect();
    let peers: Vec<Multiaddr> = others.iter().map(|host| host.address.clone()).collect();
    let again = Host::start(folders[0].path(), validator(0), &peers).await;
    until("it has compared several times after its restart", || again.hearken.status().exchanges > 5).await;
    let delivered = again.archive.delivered.lock().unwrap().len();
    assert_eq!(delivered, 0, "what was refused before the restart was sent again after it");
    again.stop().await;
    for host in others {
        host.stop().await;
    }
}

/// The validator.
struct Twentieth;

fn refuses(id: &Id) -> bool {
    id.0[7] % 20 == 0
}

impl Validator for Twentieth {
    fn validate(&self, _pubsub_topic: &str, header: &Header, _body: &[u8]) -> Result<(), String> {
        if refuses(&header.id) { Err("its number is up".to_owned()) } else { Ok(()) }
    }
}

// ---- messages ------------------------------------------------------------------------------------------------------------------

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// Messages of the last hour but for its last ten minutes.
fn messages(random: &mut ChaCha8Rng) -> Vec<Bytes> {
    let start = now() - 50 * 60_000_000_000;
    let message = |index: usize| {
        let message = WakuMessage {
            payload: (0..random.random_range(50..400)).map(|_| random.random::<u8>()).collect::<Vec<u8>>().into(),
            content_topic: "/hearken/1/room/proto".to_owned(),
            timestamp: Some(i64::try_from(start + index as u64 * 1_000_000_000).unwrap()),
            ..WakuMessage::default()
        };
        Bytes::from(message.encode_to_vec())
    };
    (0..MESSAGES).map(message).collect()
}

fn id(body: &Bytes) -> Id {
    hearken_waku::message_hash(TOPIC, &WakuMessage::decode(body.clone()).unwrap())
}

fn live(body: Bytes) -> Candidate {
    Candidate { body, origin: Origin::Topic(TOPIC.to_owned()) }
}

fn filter() -> Filter {
    Filter { pubsub_topic: TOPIC.to_owned(), content_topics: BTreeSet::new() }
}

// ---- a node's archive, which counts what neighbours deliver --------------------------------------------------------------------

fn open(folder: &Path, validator: Option<Arc<dyn Validator>>) -> Embedded {
    let mut options = ArchiveOptions::new(vec![filter()], Arc::new(WakuFormat));
    options.validator = validator;
    options.limits = Limits { max_age: Some(Duration::from_secs(24 * 3600)), ..options.limits };
    Embedded::open(EmbeddedOptions::new(folder.join("archive.redb"), options)).unwrap()
}

struct Counting {
    archive: Embedded,
    /// How often each message came from a neighbour.
    delivered: Mutex<BTreeMap<Id, u64>>,
}

impl Archive for Counting {
    fn admit(&self, batch: &[Candidate], now: u64) -> Result<Vec<Admission>, AdmitError> {
        for candidate in batch.iter().filter(|candidate| matches!(candidate.origin, Origin::Synced { .. })) {
            *self.delivered.lock().unwrap().entry(id(&candidate.body)).or_default() += 1;
        }
        self.archive.admit(batch, now)
    }

    fn groups(&self) -> Vec<Filter> {
        self.archive.groups()
    }

    fn view(&self, group: &GroupId) -> Result<View, ReadError> {
        self.archive.view(group)
    }

    fn get(&self, keys: &[Key]) -> Result<Vec<Option<StoredMessage>>, ReadError> {
        self.archive.get(keys)
    }

    fn find(&self, id: &Id) -> Result<Option<Key>, ReadError> {
        self.archive.find(id)
    }

    fn scan(&self, group: &GroupId, range: &KeyRange, limit: PageLimit) -> Result<Vec<StoredMessage>, ReadError> {
        self.archive.scan(group, range, limit)
    }

    fn delete(&self, keys: &[Key]) -> Result<u64, AdmitError> {
        self.archive.delete(keys)
    }

    fn retain(&self, now: u64) -> Result<u64, AdmitError> {
        self.archive.retain(now)
    }

    fn kept_from(&self, now: u64) -> u64 {
        self.archive.kept_from(now)
    }
}

// ---- a program that embeds Hearken ---------------------------------------------------------------------------------------------

#[derive(NetworkBehaviour)]
struct Behaviour {
    gossipsub: gossipsub::Behaviour,
    streams: libp2p_stream::Behaviour,
}

struct Host {
    archive: Arc<Counting>,
    hearken: AntiEntropy,
    address: Multiaddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Host {
    async fn start(folder: &Path, validator: Option<Arc<dyn Validator>>, peers: &[Multiaddr]) -> Host {
        let archive = Arc::new(Counting { archive: open(folder, validator), delivered: Mutex::default() });
        let config = gossipsub_config();
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| Behaviour {
                gossipsub: gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, config.clone()).unwrap(),
                streams: libp2p_stream::Behaviour::new(),
            })
            .unwrap()
            .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(Duration::from_secs(600)))
            .build();
        let host = hearken::Host {
            control: swarm.behaviour().streams.new_control(),
            gossipsub: &config,
            committer: None,
            clock: Arc::new(SystemClock),
        };
        let (hearken, mut commands) = AntiEntropy::spawn(quick(), archive.clone(), host).unwrap();
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        for peer in peers {
            swarm.dial(peer.clone()).unwrap();
        }
        let (ready, address) = oneshot::channel();
        let (stop, mut stopped) = oneshot::channel();
        let task = hearken.clone();
        let task = tokio::spawn(async move {
            let mut ready = Some(ready);
            loop {
                tokio::select! {
                    event = swarm.select_next_some() => {
                        task.on_swarm_event(&event);
                        match event {
                            SwarmEvent::NewListenAddr { address, .. } => {
                                if let Some(ready) = ready.take() {
                                    ready.send(address).unwrap();
                                }
                            }
                            SwarmEvent::Behaviour(BehaviourEvent::Gossipsub(event)) => {
                                task.on_gossip(&event);
                            }
                            _ => {}
                        }
                    }
                    Some(command) = commands.next() => commands.apply(command, &mut swarm.behaviour_mut().gossipsub),
                    _ = &mut stopped => return,
                }
            }
        });
        let address = tokio::time::timeout(PATIENCE, address).await.expect("a listening address in time").unwrap();
        Host { archive, hearken, address, stop, task }
    }

    /// What it keeps.
    fn ids(&self) -> BTreeSet<Id> {
        let limit = PageLimit { messages: usize::MAX, bytes: usize::MAX };
        let messages = self.archive.scan(&filter().group(), &KeyRange::ALL, limit).unwrap();
        messages.into_iter().map(|message| message.key.id()).collect()
    }

    /// Expects that no refused message came from neighbours more than once; how many came.
    fn delivered_once(&self, all: &BTreeSet<Id>) -> usize {
        let delivered = self.archive.delivered.lock().unwrap();
        let refused = delivered.iter().filter(|(id, _)| all.contains(id) && refuses(id));
        let twice: Vec<_> = refused.clone().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "refused messages that were sent more than once: {twice:?}");
        refused.count()
    }

    async fn stop(self) {
        self.hearken.stop().await;
        let _ = self.stop.send(());
        self.task.await.unwrap();
    }
}

fn gossipsub_config() -> gossipsub::Config {
    gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message| MessageId::new(&message.data))
        .max_transmit_size(1 << 20)
        .build()
        .unwrap()
}

/// Settings under which a repair takes seconds instead of minutes.
fn quick() -> Config {
    let mut config = Config::default();
    config.engine.interval_min = Duration::from_millis(200);
    config.engine.interval_max = Duration::from_secs(1);
    config.engine.settle_delay = Duration::from_secs(1);
    config.engine.horizon_grid = Duration::from_secs(1);
    config
}

fn exchanges(hosts: &[Host]) -> u64 {
    hosts.iter().map(|host| host.hearken.status().exchanges).sum()
}

/// Waits for a condition that nothing announces, by looking again and again.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let reached = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, reached).await.is_ok(), "not within {PATIENCE:?}: {what}");
}
