//! Waku's request protocols as they run over streams: Store v3 and metadata.
//!
//! Everything a stranger can make this node do is bounded: streams at a time, bytes and seconds of one request, requests of one
//! peer, queries at a time, and bytes of responses that wait for slow readers.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{AsyncWriteExt as _, StreamExt as _};
use hearken_archive::Archive;
use hearken_waku::framing::{read_frame, write_frame};
use hearken_waku::metadata::{METADATA_MAX, METADATA_PROTOCOL, Metadata};
use hearken_waku::store::{
    REQUEST_MAX, RequestBudget, STORE_PROTOCOL, StatusCode, StoreRequest, StoreResponse, answer, failure,
};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::{Control, IncomingStreams};
use prost::Message as _;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

use super::SetupError;
use super::relay::RELAY_PROTOCOL;
use crate::config::StoreConfig;

/// [`STORE_PROTOCOL`] as libp2p wants it.
pub(super) const STORE: StreamProtocol = StreamProtocol::new(STORE_PROTOCOL);
/// [`METADATA_PROTOCOL`] as libp2p wants it.
pub(super) const METADATA: StreamProtocol = StreamProtocol::new(METADATA_PROTOCOL);
const RELAY: StreamProtocol = StreamProtocol::new(RELAY_PROTOCOL);

/// Streams that are served at a time.
const STREAMS: usize = 256;
/// Of which one peer may have so many.
const STREAMS_PER_PEER: usize = 8;
/// How long a request may take to come.
const REQUEST: Duration = Duration::from_secs(10);
/// How long a response may take to be read.
const RESPONSE: Duration = Duration::from_secs(30);
/// Queries that read the archive at a time; others wait.
const QUERIES: usize = 4;
/// How long a query waits for its turn, or a response for memory.
const TURN: Duration = Duration::from_secs(5);
/// Memory for responses that wait for their readers, in KiB.
const RESPONSES_KIB: u32 = 32 << 10;
/// Seconds' worth of requests that a peer may make at once.
const BURST: u32 = 10;

/// The servers. Dropped, they end, whatever they are at.
pub(crate) struct Protocols {
    tasks: JoinSet<()>,
    control: Control,
    network: Network,
}

/// Serves Store v3 out of the archive, and metadata of these topics. Peers of other networks are reported through `foreign`.
pub(crate) fn serve(
    mut control: Control,
    archive: Arc<dyn Archive>,
    metadata: Metadata,
    config: &StoreConfig,
    foreign: mpsc::Sender<PeerId>,
) -> Result<Protocols, SetupError> {
    let mut tasks = JoinSet::new();
    if config.enabled {
        let store = Arc::new(Store::new(archive, config.requests_rate));
        let streams = control.accept(STORE).map_err(SetupError::new)?;
        tasks.spawn(accept(streams, move |peer, stream| store.clone().serve(peer, stream)));
    }
    let streams = control.accept(METADATA).map_err(SetupError::new)?;
    let network = Network { own: metadata, foreign };
    let told = network.clone();
    tasks.spawn(accept(streams, move |peer, stream| told.clone().tell(peer, stream)));
    Ok(Protocols { tasks, control, network })
}

impl Protocols {
    /// Gives up what is being served, and with it the archive.
    pub(crate) async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }

    /// A peer has told what it speaks: asks those for their network that relay. Light clients bring nothing in, and those in
    /// JavaScript ask by themselves, on the stream that they are asked on if there is one: then neither has an answer.
    pub(crate) fn on_protocols(&mut self, peer: PeerId, protocols: &[StreamProtocol]) {
        while self.tasks.try_join_next().is_some() {}
        if ![METADATA, RELAY].iter().all(|needed| protocols.contains(needed)) || self.tasks.len() > STREAMS {
            return;
        }
        let (mut control, network) = (self.control.clone(), self.network.clone());
        self.tasks.spawn(async move {
            let asked = async {
                let stream = control.open_stream(peer, METADATA).await.map_err(io::Error::other)?;
                ask(stream, &network.own).await
            };
            match within(REQUEST, asked).await {
                Ok(theirs) => network.judge(peer, &theirs).await,
                Err(error) => tracing::debug!(%peer, %error, "metadata was not told"),
            }
        });
    }
}

/// Hands each stream over at once, since libp2p-stream drops those that come while one waits; drops those that are too many.
async fn accept<F>(mut streams: IncomingStreams, serve: impl Fn(PeerId, Stream) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut served = Served::default();
    while let Some((peer, stream)) = streams.next().await {
        if !served.admit(peer) {
            tracing::debug!(%peer, "too many streams: one is dropped");
            continue;
        }
        let serving = serve(peer, stream);
        let task = served.tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::debug!(%peer, %error, "a request was not served");
            }
        });
        served.peers.entry(peer).or_default().push(task);
    }
}

/// Streams that are being served. Dropped, they are aborted.
#[derive(Default)]
struct Served {
    tasks: JoinSet<()>,
    peers: BTreeMap<PeerId, Vec<AbortHandle>>,
}

impl Served {
    /// Whether there is room for one more of this peer.
    fn admit(&mut self, peer: PeerId) -> bool {
        while self.tasks.try_join_next().is_some() {}
        if self.peers.len() > STREAMS {
            self.peers.retain(|_, tasks| tasks.iter().any(|task| !task.is_finished()));
        }
        let own = self.peers.entry(peer).or_default();
        own.retain(|task| !task.is_finished());
        own.len() < STREAMS_PER_PEER && self.tasks.len() < STREAMS
    }
}

/// The Store v3 server.
struct Store {
    archive: Arc<dyn Archive>,
    start: Instant,
    budget: Mutex<RequestBudget<PeerId>>,
    queries: Arc<Semaphore>,
    memory: Semaphore,
}

impl Store {
    fn new(archive: Arc<dyn Archive>, rate: u32) -> Store {
        Store {
            archive,
            start: Instant::now(),
            budget: Mutex::new(RequestBudget::new(rate, rate.saturating_mul(BURST))),
            queries: Arc::new(Semaphore::new(QUERIES)),
            memory: Semaphore::new(RESPONSES_KIB as usize),
        }
    }

    async fn serve(self: Arc<Self>, peer: PeerId, mut stream: Stream) -> io::Result<()> {
        let request: StoreRequest = within(REQUEST, read_frame(&mut stream, REQUEST_MAX)).await?;
        let response = self.respond(peer, request).await?;
        let size = u32::try_from(response.encoded_len() / 1024 + 1).unwrap_or(u32::MAX).min(RESPONSES_KIB);
        let room = timeout(TURN, self.memory.acquire_many(size)).await;
        let response = match room {
            Ok(_) => response,
            Err(_) => busy(&response.request_id),
        };
        within(RESPONSE, async {
            write_frame(&mut stream, &response).await?;
            // JavaScript clients read to the end.
            stream.close().await
        })
        .await
    }

    async fn respond(&self, peer: PeerId, request: StoreRequest) -> io::Result<StoreResponse> {
        if !self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(&peer, self.start.elapsed()) {
            return Ok(failure(&request, StatusCode::TooManyRequests, "too many requests: ask again later"));
        }
        let Ok(turn) = timeout(TURN, self.queries.clone().acquire_owned()).await else {
            return Ok(busy(&request.request_id));
        };
        let archive = self.archive.clone();
        let query = tokio::task::spawn_blocking(move || {
            let response = answer(&*archive, &request);
            drop(turn);
            response
        });
        query.await.map_err(io::Error::other)
    }
}

fn busy(request_id: &str) -> StoreResponse {
    let request = StoreRequest { request_id: request_id.to_owned(), ..StoreRequest::default() };
    failure(&request, StatusCode::Unavailable, "too many ask at a time: ask again later")
}

/// The network that this node is of.
#[derive(Clone)]
struct Network {
    own: Metadata,
    foreign: mpsc::Sender<PeerId>,
}

impl Network {
    /// The metadata server. Who asks tells its own.
    async fn tell(self, peer: PeerId, mut stream: Stream) -> io::Result<()> {
        let theirs = within(REQUEST, async {
            let theirs = read_frame(&mut stream, METADATA_MAX).await?;
            write_frame(&mut stream, &self.own).await?;
            stream.close().await?;
            Ok(theirs)
        })
        .await?;
        self.judge(peer, &theirs).await;
        Ok(())
    }

    async fn judge(&self, peer: PeerId, theirs: &Metadata) {
        if self.own.foreign(theirs) {
            tracing::info!(%peer, cluster = theirs.cluster_id, "a peer of another network: disconnecting");
            let _ = self.foreign.send(peer).await;
        }
    }
}

/// The metadata client. Some servers read to the end before they answer.
pub(super) async fn ask(mut stream: Stream, own: &Metadata) -> io::Result<Metadata> {
    write_frame(&mut stream, own).await?;
    stream.close().await?;
    read_frame(&mut stream, METADATA_MAX).await
}

pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "too slow")))
}
