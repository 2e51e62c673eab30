//! A client of one node: for commands that ask a node something, publish through it, or fetch from it.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncWriteExt as _, StreamExt as _};
use hearken::{AntiEntropy, Commands};
use hearken_waku::framing::{read_frame, write_frame};
use hearken_waku::store::{Entry, Pager, PagerError, Progress, RESPONSE_MAX, StoreQuery, StoreRequest, StoreResponse};
use libp2p::gossipsub::{self, IdentTopic, MessageAcceptance, MessageAuthenticity};
use libp2p::identity::Keypair;
use libp2p::metrics::Registry;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, identify, ping};
use libp2p_stream::{Control, OpenStreamError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::SetupError;
use super::protocols::{STORE, within};
use super::relay::relay_config;
use super::swarm::{build, identify};
use crate::config::ByteSize;

/// How long connecting, and hearing what the node speaks, may take.
const CONNECT: Duration = Duration::from_secs(20);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(60);
/// How long a node may take to say that it relays a topic.
const SUBSCRIBED: Duration = Duration::from_secs(10);
/// How often a stream is opened anew that ended before an answer came, or a node asked again that is busy.
const ATTEMPTS: u32 = 6;
/// Pause before the first of them; it doubles.
const PAUSE: Duration = Duration::from_millis(250);

/// A connection with one node.
pub(crate) struct Client {
    peer: PeerId,
    control: Control,
    requests: mpsc::Sender<Publish>,
    known: watch::Receiver<Known>,
    task: JoinHandle<()>,
}

/// Anti-entropy in a client: its handle and what it wants of gossipsub.
pub(crate) type Hosted = (AntiEntropy, Commands);

/// What the node has told.
#[derive(Clone, Debug, Default)]
struct Known {
    protocols: Option<Vec<StreamProtocol>>,
    topics: BTreeSet<String>,
    gone: Option<String>,
}

struct Publish {
    topic: String,
    body: Bytes,
    answer: oneshot::Sender<Result<(), String>>,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    gossipsub: gossipsub::Behaviour,
    streams: libp2p_stream::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// What went wrong with the node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ClientError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("{address} cannot be reached: {reason}")]
    Unreachable { address: Multiaddr, reason: String },
    #[error("the node does not speak {protocol}: {hint}")]
    Unsupported { protocol: &'static str, hint: &'static str },
    #[error("the node broke off: {0}")]
    Broken(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] PagerError),
    #[error("the node is busy: {0}; try again later")]
    Busy(String),
    #[error("the node does not relay {0}: it has not subscribed to that pubsub topic")]
    NotRelayed(String),
    #[error("the message could not be sent: {0}")]
    NotSent(String),
}

impl Client {
    /// Connects to the node and hears what it speaks. `host` may start anti-entropy on the connection.
    pub(crate) async fn connect<E: From<ClientError>>(
        address: &Multiaddr,
        max_size: ByteSize,
        host: impl FnOnce(Control, &gossipsub::Config) -> Result<Option<Hosted>, E>,
    ) -> Result<Client, E> {
        let keypair = Keypair::generate_ed25519();
        let relay = relay_config(max_size).map_err(ClientError::from)?;
        let gossipsub = gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, relay.clone());
        let behaviour = Behaviour {
            gossipsub: gossipsub.map_err(|error| ClientError::from(SetupError::new(error)))?,
            streams: libp2p_stream::Behaviour::new(),
            identify: identify(&keypair),
            ping: ping::Behaviour::default(),
        };
        let mut swarm = build(keypair, behaviour, &mut Registry::default()).map_err(ClientError::from)?;
        let control = swarm.behaviour().streams.new_control();
        let hosted = host(control.clone(), &relay)?;
        let unreachable = |reason: String| ClientError::Unreachable { address: address.clone(), reason };
        swarm.dial(address.clone()).map_err(|error| unreachable(error.to_string()))?;
        let peer = timeout(CONNECT, connected(&mut swarm, hosted.as_ref())).await;
        let peer = peer.unwrap_or_else(|_| Err("no answer in time".to_owned())).map_err(unreachable)?;

        let (requests, requested) = mpsc::channel(16);
        let (tell, known) = watch::channel(Known::default());
        let task = tokio::spawn(drive(swarm, peer, requested, tell, hosted));
        let mut client = Client { peer, control, requests, known, task };
        client.until(CONNECT, |known| known.protocols.is_some()).await;
        Ok(client)
    }

    /// The same without anti-entropy.
    pub(crate) async fn plain(address: &Multiaddr, max_size: ByteSize) -> Result<Client, ClientError> {
        Client::connect(address, max_size, |_, _| Ok(None)).await
    }

    /// Whether the node says that it speaks this.
    pub(crate) fn speaks(&self, protocol: &str) -> bool {
        self.known.borrow().protocols.iter().flatten().any(|known| known.as_ref() == protocol)
    }

    /// Whether the node answers queries.
    pub(crate) fn has_store(&self) -> bool {
        self.speaks(STORE.as_ref())
    }

    /// Why the connection ended, if it has.
    pub(crate) fn gone(&self) -> Option<String> {
        self.known.borrow().gone.clone()
    }

    /// Asks for everything that the query finds, page by page; `page` may end it with `false`.
    pub(crate) async fn query<E: From<ClientError>>(
        &mut self,
        query: StoreQuery,
        mut page: impl FnMut(Vec<Entry>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut pager = Pager::new(query);
        let (mut pause, mut attempts) = (PAUSE, 0);
        while let Some(request) = pager.request() {
            let response = self.ask(&request).await?;
            match pager.response(response).map_err(ClientError::from)? {
                Progress::Page(entries) => {
                    (pause, attempts) = (PAUSE, 0);
                    if !page(entries)? {
                        return Ok(());
                    }
                }
                Progress::Busy(reason) if attempts == ATTEMPTS => return Err(ClientError::Busy(reason).into()),
                Progress::Busy(_) => {
                    sleep(pause).await;
                    (pause, attempts) = (pause * 2, attempts + 1);
                }
            }
        }
        Ok(())
    }

    /// One request. A stream that ends before the answer came is opened anew: a node drops one for want of room now and then.
    async fn ask(&mut self, request: &StoreRequest) -> Result<StoreResponse, ClientError> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            match within(ANSWER, exchange(&mut self.control, self.peer, request)).await {
                Ok(response) => return Ok(response),
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    let hint = "it answers no queries; ask another node";
                    return Err(ClientError::Unsupported { protocol: hearken_waku::store::STORE_PROTOCOL, hint });
                }
                Err(error) if attempt == ATTEMPTS || self.gone().is_some() => return Err(error.into()),
                Err(error) => tracing::debug!(%error, attempt, "a query was not answered: asking again"),
            }
            sleep(pause).await;
            pause *= 2;
        }
        Err(ClientError::Busy("no answer".to_owned()))
    }

    /// Relays a message through the node; returns once it is handed to the connection.
    pub(crate) async fn publish(&mut self, topic: &str, body: Bytes) -> Result<(), ClientError> {
        if !self.until(SUBSCRIBED, |known| known.topics.contains(topic)).await {
            return Err(ClientError::NotRelayed(topic.to_owned()));
        }
        let gone = || ClientError::NotSent("the connection is gone".to_owned());
        let (answer, answered) = oneshot::channel();
        let publish = Publish { topic: topic.to_owned(), body, answer };
        self.requests.send(publish).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?.map_err(ClientError::NotSent)
    }

    /// Waits until the node has told this; whether it has in time.
    async fn until(&mut self, limit: Duration, told: impl Fn(&Known) -> bool) -> bool {
        let waiting = self.known.wait_for(|known| told(known) || known.gone.is_some());
        let heard = timeout(limit, waiting).await;
        heard.is_ok_and(|heard| heard.is_ok_and(|known| told(&known)))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn exchange(control: &mut Control, peer: PeerId, request: &StoreRequest) -> io::Result<StoreResponse> {
    let mut stream = control.open_stream(peer, STORE).await.map_err(|error| match error {
        OpenStreamError::UnsupportedProtocol(_) => io::Error::new(io::ErrorKind::Unsupported, error.to_string()),
        OpenStreamError::Io(error) => error,
        error => io::Error::other(error.to_string()),
    })?;
    write_frame(&mut stream, request).await?;
    stream.close().await?;
    read_frame(&mut stream, RESPONSE_MAX).await
}

/// Waits until the first connection stands; the error says why it does not.
async fn connected(swarm: &mut Swarm<Behaviour>, hosted: Option<&Hosted>) -> Result<PeerId, String> {
    loop {
        let event = swarm.select_next_some().await;
        if let Some((sync, _)) = hosted {
            sync.on_swarm_event(&event);
        }
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => return Ok(peer_id),
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.to_string()),
            _ => {}
        }
    }
}

/// Polls the swarm until the client is dropped or the connection is gone.
async fn drive(
    mut swarm: Swarm<Behaviour>,
    peer: PeerId,
    mut requests: mpsc::Receiver<Publish>,
    known: watch::Sender<Known>,
    mut hosted: Option<Hosted>,
) {
    loop {
        let command = async {
            match &mut hosted {
                Some((_, commands)) => commands.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = swarm.select_next_some() => {
                if let Some((sync, _)) = &hosted {
                    sync.on_swarm_event(&event);
                }
                if let Some(event) = note(&mut swarm, peer, event, &known, hosted.as_ref()) {
                    known.send_modify(|known| known.gone = Some(event));
                    return;
                }
            }
            Some(command) = command => {
                if let Some((_, commands)) = &mut hosted {
                    commands.apply(command, &mut swarm.behaviour_mut().gossipsub);
                }
            }
            Some(Publish { topic, body, answer }) = requests.recv() => {
                let sent = swarm.behaviour_mut().gossipsub.publish(IdentTopic::new(topic), body);
                // Whoever asked may have gone.
                let _ = answer.send(sent.map(drop).map_err(|error| error.to_string()));
            }
        }
    }
}

/// Takes note of an event; why the connection ended, if it did.
fn note(
    swarm: &mut Swarm<Behaviour>,
    peer: PeerId,
    event: SwarmEvent<BehaviourEvent>,
    known: &watch::Sender<Known>,
    hosted: Option<&Hosted>,
) -> Option<String> {
    match event {
        SwarmEvent::ConnectionClosed { peer_id, num_established: 0, cause, .. } if peer_id == peer => {
            return Some(cause.map_or_else(|| "the node closed the connection".to_owned(), |cause| cause.to_string()));
        }
        SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
            if let Some((sync, _)) = hosted {
                sync.on_protocols(peer_id, &info.protocols);
            }
            known.send_modify(|known| known.protocols = Some(info.protocols));
        }
        SwarmEvent::Behaviour(BehaviourEvent::Gossipsub(event))
            if hosted.is_none_or(|(sync, _)| !sync.on_gossip(&event)) =>
        {
            note_gossip(swarm, event, known);
        }
        _ => {}
    }
    None
}

fn note_gossip(swarm: &mut Swarm<Behaviour>, event: gossipsub::Event, known: &watch::Sender<Known>) {
    match event {
        gossipsub::Event::Subscribed { topic, .. } => {
            known.send_modify(|known| {
                known.topics.insert(topic.into_string());
            });
        }
        // Relays nothing of others.
        gossipsub::Event::Message { propagation_source, message_id, .. } => {
            let gossipsub = &mut swarm.behaviour_mut().gossipsub;
            let verdict = MessageAcceptance::Ignore;
            gossipsub.report_message_validation_result(&message_id, &propagation_source, verdict);
        }
        _ => {}
    }
}
