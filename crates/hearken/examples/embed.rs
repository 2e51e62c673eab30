//! A libp2p node with Hearken in it. Starts two in one process: one holds a thousand messages, the other none.
use futures::StreamExt as _;
use hearken::archive::{
    Archive, ArchiveOptions, Candidate, Filter, FormatError, Header, Memory, MessageFormat, Origin,
};
use hearken::{AntiEntropy, Clock, Config, Host, Id, SystemClock};
use libp2p::gossipsub::{self, MessageAuthenticity::Signed};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, tcp, yamux};
use std::{error::Error, net::TcpListener, sync::Arc, time::Duration};

/// The messages of this network: eight bytes of time, then text.
struct Text;

impl MessageFormat for Text {
    fn header<'a>(&self, _topic: &str, body: &'a [u8]) -> Result<Header<'a>, FormatError> {
        let time = body.first_chunk().ok_or(FormatError { reason: "shorter than 8 bytes".to_owned() })?;
        let (id, timestamp) = (Id(*blake3::hash(body).as_bytes()), u64::from_be_bytes(*time));
        Ok(Header { id, timestamp, content_topic: "text".into(), ephemeral: false })
    }
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    gossipsub: gossipsub::Behaviour,
    stream: libp2p_stream::Behaviour,
}

/// A node that listens on a free port of the loopback interface and dials `other`.
fn start(archive: Arc<dyn Archive>, port: u16, other: Option<u16>) -> Result<AntiEntropy, Box<dyn Error>> {
    let address =
        |port| -> Result<Multiaddr, libp2p::multiaddr::Error> { format!("/ip4/127.0.0.1/tcp/{port}").parse() };
    let gossip = gossipsub::ConfigBuilder::default().validate_messages().build()?;
    let mut swarm: Swarm<Behaviour> = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key| {
            let gossipsub = gossipsub::Behaviour::new(Signed(key.clone()), gossip.clone())?;
            Ok(Behaviour { gossipsub, stream: libp2p_stream::Behaviour::new() })
        })?
        .build();
    let control = swarm.behaviour().stream.new_control();
    let host = Host { control, gossipsub: &gossip, committer: None, clock: Arc::new(SystemClock) };
    let (handle, mut commands) = AntiEntropy::spawn(Config::default(), archive, host)?;
    swarm.listen_on(address(port)?)?;
    other.map(|port| swarm.dial(address(port)?).map_err(Box::<dyn Error>::from)).transpose()?;
    let hearken = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                event = swarm.select_next_some() => {
                    hearken.on_swarm_event(&event);
                    if let SwarmEvent::Behaviour(BehaviourEvent::Gossipsub(event)) = event && !hearken.on_gossip(&event) {
                        // What comes on the node's own topics.
                    }
                }
                Some(command) = commands.next() => commands.apply(command, &mut swarm.behaviour_mut().gossipsub),
            }
        }
    });
    Ok(handle)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let chat = Filter { pubsub_topic: "/my/chat".to_owned(), content_topics: Default::default() };
    let archive = || Arc::new(Memory::new(ArchiveOptions::new(vec![chat.clone()], Arc::new(Text))));
    let (full, empty, now) = (archive(), archive(), SystemClock.unix_nanos());
    let body = |age: u64| [&(now - age * 1_000_000_000).to_be_bytes()[..], b"hello"].concat().into();
    let message = |age| Candidate { body: body(age), origin: Origin::Topic(chat.pubsub_topic.clone()) };
    full.admit(&(100..1100).map(message).collect::<Vec<_>>(), now)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let (_first, second) = (start(full, port, None)?, start(empty.clone(), 0, Some(port))?);
    while empty.view(&chat.group())?.kept.len() < 1000 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("the second node now holds all 1000 messages: {:?}", second.status());
    second.stop().await;
    Ok(())
}
