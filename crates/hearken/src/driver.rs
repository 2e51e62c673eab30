use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hearken_scheduler::{Action, Engine, Event, GossipId, Now};
use hearken_tree::GroupId;
use hearken_wire::RequestId;
use libp2p::gossipsub::MessageId;
use libp2p::{PeerId, Stream};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use crate::admit::Store;
use crate::inbox::Inbox;
use crate::peers::Peers;
use crate::reader::{Reader, Readers};
use crate::score::Scores;
use crate::status::Notice;
use crate::stream::{Arrived, Streams};
use crate::{Clock, Command, index};

/// How often idle streams are closed and scores fade.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// What is given to the task when it is spawned.
pub(crate) struct Parts {
    pub(crate) engine: Engine<PeerId>,
    /// What the engine's time counts from.
    pub(crate) start: Instant,
    pub(crate) reader: Reader,
    pub(crate) readers: Readers,
    pub(crate) store: Store,
    pub(crate) streams: Streams,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) notices: broadcast::Sender<Notice>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The control topic of each group.
    pub(crate) topics: BTreeMap<GroupId, String>,
    /// Whether gossipsub waits for a verdict on each message.
    pub(crate) validates: bool,
}

/// What comes in on channels.
pub(crate) struct Intake {
    /// Frames from all streams.
    pub(crate) arrived: mpsc::Receiver<Arrived>,
    /// Streams that others opened.
    pub(crate) accepted: mpsc::Receiver<(PeerId, Stream)>,
    /// True once the task has to end.
    pub(crate) stop: watch::Receiver<bool>,
}

/// The task: carries events to the engine and does what it asks for. It waits for nothing but the next event: whatever takes
/// time runs beside it and comes back as one.
pub(crate) struct Driver {
    pub(crate) parts: Parts,
    pub(crate) peers: Peers,
    scores: Scores,
    /// One for each stream.
    pub(crate) talking: JoinSet<()>,
    /// Index jobs and requests that are served: their results are events. Given up when the task ends.
    pub(crate) working: JoinSet<Event<PeerId>>,
    /// Messages on their way into the archive. Waited for when the task ends.
    storing: JoinSet<Event<PeerId>>,
    /// Stops what is served.
    pub(crate) serving: BTreeMap<(PeerId, RequestId), oneshot::Sender<()>>,
    /// IHAVEs of which gossipsub waits for the engine's verdict: who forwarded them, and their names there.
    pub(crate) unjudged: BTreeMap<GossipId, (PeerId, MessageId)>,
    pub(crate) gossip_ids: u64,
    pub(crate) stream_ids: u64,
    index_threads: Arc<Semaphore>,
    pub(crate) serve_slots: Arc<Semaphore>,
    /// Events that arose while actions were done.
    pub(crate) events: VecDeque<Event<PeerId>>,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Driver {
        let limits = &parts.streams.limits;
        Driver {
            index_threads: Arc::new(Semaphore::new(limits.index_jobs)),
            serve_slots: Arc::new(Semaphore::new(limits.serves)),
            parts,
            peers: Peers::default(),
            scores: Scores::default(),
            talking: JoinSet::new(),
            working: JoinSet::new(),
            storing: JoinSet::new(),
            serving: BTreeMap::new(),
            unjudged: BTreeMap::new(),
            gossip_ids: 0,
            stream_ids: 0,
            events: VecDeque::new(),
        }
    }

    /// Runs until `stop` says true or its other end is dropped. Then it stores what was delivered, and gives up the rest.
    pub(crate) async fn run(mut self, mut intake: Intake) {
        let mut housekeeping = housekeeping();
        let inbox = self.parts.inbox.clone();
        self.handle(Event::Wake);
        loop {
            let deadline = self.parts.engine.next_deadline().map(|deadline| self.parts.start + deadline);
            tokio::select! {
                _ = intake.stop.wait_for(|stop| *stop) => break,
                news = inbox.news() => self.take_news(news),
                Some(arrived) = intake.arrived.recv() => self.take(arrived),
                Some((peer, stream)) = intake.accepted.recv() => self.accept(peer, stream),
                Some(ended) = self.talking.join_next() => log_panic(ended),
                Some(done) = self.working.join_next() => self.take_result(done),
                Some(done) = self.storing.join_next() => self.take_result(done),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.handle(Event::Wake),
                _ = housekeeping.tick() => self.keep_house(),
            }
            if self.peers.take_changed() {
                self.count_streams();
            }
        }
        self.finish().await;
    }

    async fn finish(mut self) {
        self.talking.shutdown().await;
        self.working.shutdown().await;
        while let Some(stored) = self.storing.join_next().await {
            let _ = stored.map_err(|panic| log_panic::<()>(Err(panic)));
        }
        self.peers = Peers::default();
        self.count_streams();
        let Parts { reader, readers, store, .. } = self.parts;
        drop(reader);
        readers.done().await;
        // The last handle to the committer waits for its thread.
        let _ = spawn_blocking(move || drop(store)).await;
    }

    fn count_streams(&self) {
        let counters = &self.parts.streams.counters;
        counters.peers.store(self.peers.len() as u64, Relaxed);
        counters.streams.store(self.peers.streams() as u64, Relaxed);
    }

    fn keep_house(&mut self) {
        let now = Instant::now();
        self.peers.close_idle(self.parts.streams.limits.stream_idle, now);
        for (peer, score) in self.scores.fade(now) {
            self.command(Command::Score { peer, score });
        }
        self.learn_floor();
    }

    /// An archive that is bounded by its size keeps less and less of the past as it fills.
    fn learn_floor(&mut self) {
        let (reader, unix) = (self.parts.reader.clone(), self.parts.clock.unix_nanos());
        self.working.spawn(async move {
            let floor = reader.run(move |archive| archive.kept_from(unix)).await;
            Event::KeptFrom(floor.unwrap_or_default())
        });
    }

    pub(crate) fn now(&self) -> Now {
        Now { monotonic: self.parts.start.elapsed(), unix: self.parts.clock.unix_nanos() }
    }

    /// Tells the engine, and does what it wants done.
    pub(crate) fn handle(&mut self, event: Event<PeerId>) {
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            let now = self.now();
            self.parts.engine.handle(event, now);
            while let Some(action) = self.parts.engine.poll_action() {
                self.act(action);
            }
        }
    }

    fn act(&mut self, action: Action<PeerId>) {
        match action {
            Action::Announce(ihave) => self.announce(&ihave),
            Action::Judge { id, verdict } => self.judge(id, verdict),
            Action::Send { to, frame } => self.send(to, frame),
            Action::Index { ticket, group, job } => {
                let (reader, threads) = (self.parts.reader.clone(), self.index_threads.clone());
                self.working.spawn(async move {
                    Event::Indexed { ticket, result: index::run(reader, threads, group, job).await }
                });
            }
            Action::Admit { ticket, group, asked, messages, last } => {
                let store = self.parts.store.clone();
                let (counters, notices) = (self.parts.streams.counters.clone(), self.parts.notices.clone());
                self.storing.spawn(async move {
                    let outcome = store.admit(group, asked, messages, last).await;
                    counters.admitted(&outcome);
                    let _ = notices.send(Notice::Repaired { group, admitted: outcome });
                    Event::Admitted { ticket, outcome }
                });
            }
            Action::Serve { to, request, group, selection } => self.serve(to, request, group, selection),
            // What is served reports its end itself.
            Action::StopServing { to, request } => drop(self.serving.remove(&(to, request))),
            Action::Report { peer, offence } => {
                tracing::info!(%peer, ?offence, "a peer broke the sync protocol");
                let score = self.scores.blame(peer, offence, Instant::now());
                self.command(Command::Score { peer, score });
                self.notice(Notice::Offended { peer, offence });
            }
        }
    }

    /// Takes what came of work. A task that panicked has no result; its panic is an error of this program.
    fn take_result(&mut self, done: Result<Event<PeerId>, JoinError>) {
        match done {
            Ok(event) => {
                if let Event::Served { to, request, .. } = &event {
                    self.serving.remove(&(*to, *request));
                }
                self.handle(event);
            }
            Err(error) => log_panic::<()>(Err(error)),
        }
    }

    /// Tells whoever listens.
    pub(crate) fn notice(&self, notice: Notice) {
        let _ = self.parts.notices.send(notice);
    }
}

fn housekeeping() -> Interval {
    let mut ticks = interval(HOUSEKEEPING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn log_panic<T>(ended: Result<T, JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a task panicked: please report this");
    }
}
