use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use hearken_archive::{Archive, Committer, CommitterOptions, Filter};
use hearken_scheduler::{Engine, GroupConfig, InvalidChange, InvalidConfig, Now};
use hearken_tree::GroupId;
use hearken_wire::{control_topic, limits::IHAVE_MAX};
use libp2p::gossipsub;
use libp2p::swarm::SwarmEvent;
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::{AlreadyRegistered, IncomingStreams};
use rand::RngExt as _;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;

use crate::admit::Store;
use crate::budget::Budget;
use crate::driver::{Driver, Intake, Parts};
use crate::inbox::{Gossiped, Inbox};
use crate::reader::Reader;
use crate::status::{Counters, Notice, Report, Status};
use crate::stream::{SYNC_PROTOCOL, Streams};
use crate::work::Work;
use crate::{Clock, Command, Commands, Config};

/// Frames of all peers that wait for the task. Their messages are within the budget for what is not stored.
const ARRIVED: usize = 64;
/// Streams of others that wait for the task.
const ACCEPTED: usize = 64;
/// Commands that wait for the host, beside the subscriptions.
const COMMANDS: usize = 256;
/// Notices that a listener may lag behind.
const NOTICES: usize = 256;
/// What gossipsub's own envelope may add to an IHAVE: topic, author, signature.
const ENVELOPE: usize = 1024;

/// What the task needs of its host.
#[derive(Clone)]
pub struct Host<'a> {
    /// Opens and accepts streams: [`new_control`](libp2p_stream::Behaviour::new_control) of a [`libp2p_stream::Behaviour`] in the
    /// host's swarm.
    pub control: libp2p_stream::Control,
    /// What the host's gossipsub was built with. Says whether it waits for a verdict on each message.
    pub gossipsub: &'a gossipsub::Config,
    /// Stores what neighbours deliver, together with what the host stores; `None`: the task starts one for the archive, which the
    /// host may use as well ([`AntiEntropy::committer`]).
    pub committer: Option<Arc<Committer>>,
    /// The wall clock; [`SystemClock`](crate::SystemClock) unless the node lives in another time.
    pub clock: Arc<dyn Clock>,
}

/// Why the task was not spawned. Nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The settings cannot work together.
    #[error(transparent)]
    BadConfig(#[from] InvalidConfig),
    /// One of the task's own limits is zero.
    #[error("`limits.{0}` must be more than zero")]
    ZeroLimit(&'static str),
    /// A group is to be kept equal that the archive does not keep.
    #[error("the archive keeps no group {0}: add its filter to the archive, or leave it out of `groups`")]
    UnknownGroup(GroupId),
    /// There is nothing to keep equal.
    #[error("the archive keeps no group: give it at least one filter")]
    NoGroup,
    /// The host's gossipsub would not carry an IHAVE.
    #[error(
        "gossipsub's max_transmit_size is {found} bytes, an IHAVE may take {needed}: raise it, or lower `summary_budget`"
    )]
    TransmitSize {
        /// What it is.
        found: usize,
        /// What it has to be.
        needed: usize,
    },
    /// Somebody accepts streams of the sync protocol already.
    #[error(
        "the swarm's libp2p_stream::Behaviour has a handler for the sync protocol already: spawn the task once a swarm"
    )]
    AlreadyRegistered,
    /// The thread that commits could not be started.
    #[error("the thread that commits messages could not be started: {0}")]
    Thread(#[source] std::io::Error),
    /// Not called from within a tokio runtime.
    #[error("there is no tokio runtime here: call spawn from an async function that tokio runs")]
    NoRuntime,
}

impl From<AlreadyRegistered> for SpawnError {
    fn from(_: AlreadyRegistered) -> SpawnError {
        SpawnError::AlreadyRegistered
    }
}

/// Why other settings were not taken. Those in force stay so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// They cannot work, or cannot change while the node runs.
    #[error(transparent)]
    Refused(#[from] InvalidChange),
    /// The host's gossipsub would not carry an IHAVE.
    #[error(
        "gossipsub's max_transmit_size is {found} bytes, an IHAVE may take {needed}: lower `summary_budget`, or restart with a larger max_transmit_size"
    )]
    TransmitSize {
        /// What it is.
        found: usize,
        /// What it has to be.
        needed: usize,
    },
}

/// A handle to the background task. Clones are handles to the same task, which ends when the last one is dropped.
///
/// No method that is not `async` waits for anything, so all of these may be called from the loop that polls the swarm.
#[derive(Clone)]
pub struct AntiEntropy {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Mutex<Settings>,
    inbox: Arc<Inbox>,
    counters: Arc<Counters>,
    work: Arc<Work>,
    notices: broadcast::Sender<Notice>,
    /// Group of each control topic's messages.
    topics: BTreeMap<GroupId, String>,
    committer: Arc<Committer>,
    stop: watch::Sender<bool>,
    /// Closed once the task has ended.
    ended: watch::Receiver<()>,
}

/// What new settings have to fit.
struct Settings {
    /// Those in force.
    engine: hearken_scheduler::Config,
    groups: Vec<GroupConfig>,
    /// Of the host's gossipsub.
    max_transmit_size: usize,
}

impl Settings {
    /// Takes other settings, unless they do not fit.
    fn change(&mut self, to: &hearken_scheduler::Config) -> Result<(), ReconfigureError> {
        self.engine.check_change(to, &self.groups)?;
        if to.limits.unadmitted_bytes != self.engine.limits.unadmitted_bytes {
            return Err(InvalidChange::Fixed("limits.unadmitted_bytes").into());
        }
        let (found, needed) = (self.max_transmit_size, to.summary_budget + ENVELOPE);
        if found < needed {
            return Err(ReconfigureError::TransmitSize { found, needed });
        }
        self.engine = to.clone();
        Ok(())
    }
}

impl AntiEntropy {
    /// Starts to keep the archive's groups equal to those of the peers that the host connects to.
    ///
    /// The first commands subscribe to the control topics. Spawn before the swarm is polled, so that no connection is missed; peers
    /// that are connected already are told with [`on_connected`](AntiEntropy::on_connected).
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub fn spawn(
        config: Config,
        archive: Arc<dyn Archive>,
        host: Host<'_>,
    ) -> Result<(AntiEntropy, Commands), SpawnError> {
        let runtime = Handle::try_current().map_err(|_| SpawnError::NoRuntime)?;
        check_limits(&config, host.gossipsub)?;
        let (start, unix) = (Instant::now(), host.clock.unix_nanos());
        let filters: BTreeMap<GroupId, Filter> = archive.groups().into_iter().map(|f| (f.group(), f)).collect();
        let groups = groups(&config, &filters, &*archive, unix)?;
        let topics = control_topics(&groups, &filters)?;
        let now = Now { monotonic: start.elapsed(), unix };
        let mut engine = Engine::new(config.engine.clone(), groups.clone(), rand::rng().random(), now)?;
        for (group, peers) in config.allowed {
            engine.allow(group, Some(peers));
        }
        let settings = Mutex::new(Settings {
            engine: config.engine.clone(),
            groups,
            max_transmit_size: host.gossipsub.max_transmit_size(),
        });
        let committer = match host.committer {
            Some(committer) => committer,
            None => start_committer(archive.clone(), host.clock.clone()).map_err(SpawnError::Thread)?,
        };

        let mut control = host.control;
        let incoming = control.accept(SYNC_PROTOCOL)?;
        let (counters, work) = (Arc::new(Counters::default()), Arc::new(Work::default()));
        let inbox = Arc::new(Inbox::default());
        let (arrived, frames) = mpsc::channel(ARRIVED);
        let (accept, accepted) = mpsc::channel(ACCEPTED);
        let (commands, queue) = subscriptions(&topics);
        let (notices, _) = broadcast::channel(NOTICES);
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = watch::channel(());
        let streams = Streams {
            control,
            arrived,
            budget: Budget::new(config.engine.limits.unadmitted_bytes),
            counters: counters.clone(),
            work: work.clone(),
            limits: config.limits,
        };
        let (reader, readers) = Reader::new(archive, work.clone());
        let driver = Driver::new(Parts {
            engine,
            start,
            reader,
            readers,
            store: Store::new(committer.clone()),
            streams,
            inbox: inbox.clone(),
            commands,
            notices: notices.clone(),
            clock: host.clock,
            topics: topics.clone(),
            validates: host.gossipsub.validate_messages(),
        });
        runtime.spawn(hand_over(incoming, accept, counters.clone(), end.clone()));
        runtime.spawn(async move {
            driver.run(Intake { arrived: frames, accepted, stop: stopped }).await;
            drop(end);
        });
        let inner =
            Inner { settings, inbox, counters: counters.clone(), work, notices, topics, committer, stop, ended };
        Ok((AntiEntropy { inner: Arc::new(inner) }, Commands { queue, counters }))
    }

    /// Takes note of connections that come and go. Call it with every event of the swarm.
    pub fn on_swarm_event<E>(&self, event: &SwarmEvent<E>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, num_established, .. } => {
                self.inner.inbox.connected(*peer_id, num_established.get());
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established, .. } => {
                self.inner.inbox.disconnected(*peer_id, *num_established);
            }
            _ => {}
        }
    }

    /// Takes note of a peer that was connected before the task was spawned.
    pub fn on_connected(&self, peer: PeerId) {
        self.inner.inbox.connected(peer, 1);
    }

    /// Takes note of what a peer says that it speaks, as identify reports it. Without it a peer that does not speak the sync
    /// protocol is found out when a stream to it cannot be opened.
    pub fn on_protocols(&self, peer: PeerId, protocols: &[StreamProtocol]) {
        if !protocols.contains(&SYNC_PROTOCOL) {
            self.inner.inbox.unsupported(peer);
        }
    }

    /// Takes a gossipsub event if it is a message on one of the control topics; `true` if it was. Then the host has nothing more to do
    /// with it: where its gossipsub waits for a verdict, that comes as a [`Command`].
    pub fn on_gossip(&self, event: &gossipsub::Event) -> bool {
        let gossipsub::Event::Message { propagation_source, message_id, message } = event else { return false };
        if !self.inner.topics.values().any(|topic| topic == message.topic.as_str()) {
            return false;
        }
        let gossiped = Gossiped {
            source: *propagation_source,
            id: message_id.clone(),
            // What is longer is refused when it is decoded, so nothing past the limit need be kept.
            data: Bytes::copy_from_slice(message.data.get(..=IHAVE_MAX).unwrap_or(&message.data)),
        };
        if !self.inner.inbox.gossip(gossiped) {
            self.inner.counters.dropped();
        }
        true
    }

    /// Tells that a live message of this group was stored. A group without live messages for long is probed.
    pub fn note_live(&self, group: GroupId) {
        self.inner.inbox.live(group);
    }

    /// Asks a neighbour at once whether it holds the same.
    pub fn sync_now(&self, group: GroupId) {
        self.inner.inbox.sync_now(group);
    }

    /// Takes other settings from now on; what is under way goes on. All but `window` and `limits.unadmitted_bytes` may change, and
    /// `settle_delay`, `interval_max` and `horizon_grid` within what the archive's retention allows.
    ///
    /// # Errors
    /// See [`ReconfigureError`]: the settings in force stay so.
    pub fn reconfigure(&self, engine: hearken_scheduler::Config) -> Result<(), ReconfigureError> {
        self.inner.settings().change(&engine)?;
        self.inner.inbox.reconfigure(engine);
        Ok(())
    }

    /// The settings in force.
    pub fn settings(&self) -> hearken_scheduler::Config {
        self.inner.settings().engine.clone()
    }

    /// Asks and announces nothing until [`resume`](AntiEntropy::resume). Others are served, and their IHAVEs forwarded; what is under
    /// way comes to its end.
    pub fn pause(&self) {
        self.inner.inbox.pause(true);
    }

    /// Goes on after [`pause`](AntiEntropy::pause): asks a neighbour at once.
    pub fn resume(&self) {
        self.inner.inbox.pause(false);
    }

    /// Keeps a group among these peers from now on, as [`Config::allowed`] says; `None`: all.
    pub fn allow(&self, group: GroupId, peers: Option<BTreeSet<PeerId>>) {
        self.inner.inbox.allow(group, peers);
    }

    /// The groups that are kept equal.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> + '_ {
        self.inner.topics.keys().copied()
    }

    /// Groups messages of all origins into durable commits; hosts store live messages through it.
    pub fn committer(&self) -> &Arc<Committer> {
        &self.inner.committer
    }

    /// What was done so far.
    pub fn status(&self) -> Status {
        self.inner.counters.status()
    }

    /// What the time was spent on so far.
    pub fn work(&self) -> &Work {
        &self.inner.work
    }

    /// How things stand with each group and peer; `None` once the task has ended, or while 64 others ask.
    pub async fn report(&self) -> Option<Report> {
        self.inner.inbox.report().await.ok()
    }

    /// What happens from now on. A listener that lags 256 notices behind loses the oldest; the [`Status`] counts them all.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.inner.notices.subscribe()
    }

    /// Ends the task and waits until what was delivered is stored and all its parts are gone. May be called more than once.
    ///
    /// A committer that the task has started lives, and holds the archive, until the last handle is dropped.
    pub async fn stop(&self) {
        self.inner.stop.send_replace(true);
        let mut ended = self.inner.ended.clone();
        // Nothing is ever sent: this ends, with an error, when the task has dropped its end.
        while ended.changed().await.is_ok() {}
    }
}

impl Inner {
    /// A poisoned lock means that a host's thread panicked between two plain assignments: what is there is still good.
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start_committer(archive: Arc<dyn Archive>, clock: Arc<dyn Clock>) -> std::io::Result<Arc<Committer>> {
    Committer::spawn(archive, move || clock.unix_nanos(), CommitterOptions::default()).map(Arc::new)
}

/// Refuses limits with which nothing would ever move.
fn check_limits(config: &Config, gossipsub: &gossipsub::Config) -> Result<(), SpawnError> {
    let limits = &config.limits;
    let counts = [
        ("index_jobs", limits.index_jobs),
        ("serves", limits.serves),
        ("frame_bytes", limits.frame_bytes),
        ("frames_waiting", limits.frames_waiting),
    ];
    let durations = [("open_timeout", limits.open_timeout), ("frame_timeout", limits.frame_timeout)];
    let zero = counts.iter().filter(|(_, count)| *count == 0).map(|(name, _)| *name);
    if let Some(name) = zero.chain(durations.iter().filter(|(_, d)| d.is_zero()).map(|(name, _)| *name)).next() {
        return Err(SpawnError::ZeroLimit(name));
    }
    let (found, needed) = (gossipsub.max_transmit_size(), config.engine.summary_budget + ENVELOPE);
    if found < needed { Err(SpawnError::TransmitSize { found, needed }) } else { Ok(()) }
}

/// What is to be kept equal: what the configuration says, or all that the archive keeps.
fn groups(
    config: &Config,
    filters: &BTreeMap<GroupId, Filter>,
    archive: &dyn Archive,
    unix: u64,
) -> Result<Vec<GroupConfig>, SpawnError> {
    if filters.is_empty() {
        return Err(SpawnError::NoGroup);
    }
    if !config.groups.is_empty() {
        return Ok(config.groups.clone());
    }
    // At the end of time only the archive's limit of age counts, not what it has dropped for its size.
    let retention = std::time::Duration::from_nanos(u64::MAX - archive.kept_from(u64::MAX));
    let kept_from = archive.kept_from(unix);
    Ok(filters.keys().map(|id| GroupConfig { retention, kept_from, ..config.engine.group(*id) }).collect())
}

fn control_topics(
    groups: &[GroupConfig],
    filters: &BTreeMap<GroupId, Filter>,
) -> Result<BTreeMap<GroupId, String>, SpawnError> {
    let topic = |group: &GroupConfig| {
        let filter = filters.get(&group.id).ok_or(SpawnError::UnknownGroup(group.id))?;
        Ok((group.id, control_topic(&filter.pubsub_topic)))
    };
    groups.iter().map(topic).collect()
}

/// The host's commands, of which the first subscribe to each control topic once.
fn subscriptions(topics: &BTreeMap<GroupId, String>) -> (mpsc::Sender<Command>, mpsc::Receiver<Command>) {
    let distinct: std::collections::BTreeSet<&String> = topics.values().collect();
    let (commands, queue) = mpsc::channel(COMMANDS + distinct.len());
    for topic in distinct {
        // There is room for all of them.
        let _ = commands.try_send(Command::Subscribe(topic.clone()));
    }
    (commands, queue)
}

/// Takes inbound streams the moment they come: libp2p-stream drops those that come while one waits. Ends with the task.
async fn hand_over(
    mut incoming: IncomingStreams,
    accept: mpsc::Sender<(PeerId, Stream)>,
    counters: Arc<Counters>,
    end: watch::Sender<()>,
) {
    loop {
        tokio::select! {
            () = accept.closed() => break,
            stream = incoming.next() => {
                let Some(stream) = stream else { break };
                if accept.try_send(stream).is_err() {
                    // The stream is gone with it, which its opener takes for "busy".
                    counters.dropped();
                }
            }
        }
    }
    // The protocol is free again before the task counts as ended.
    drop(incoming);
    drop(end);
}
