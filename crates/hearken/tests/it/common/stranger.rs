//! A peer that is no Hearken node: it has a swarm, and opens or takes streams as its test wants.
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use hearken_wire::{Frame, FrameReader, PROTOCOL, encode_frame};
use libp2p::{PeerId, Stream, StreamProtocol, Swarm};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Behaviour, Gossip, Node, PATIENCE, swarm, until};

pub const SYNC: StreamProtocol = StreamProtocol::new(PROTOCOL);

pub struct Stranger {
    pub peer: PeerId,
    pub control: libp2p_stream::Control,
    connected: Arc<Mutex<Vec<PeerId>>>,
    host: JoinHandle<()>,
}

impl Stranger {
    /// A peer that is connected to the node and does not speak the protocol, but can open streams of it.
    pub async fn of(node: &Node) -> Stranger {
        Stranger::connect(swarm(Gossip::default()), node).await
    }

    /// A peer that is connected to the node and takes the streams that it opens; they wait in the channel.
    pub async fn accepting(node: &Node) -> (Stranger, mpsc::Receiver<Stream>) {
        let swarm = swarm(Gossip::default());
        let mut incoming = swarm.behaviour().stream.new_control().accept(SYNC).unwrap();
        let (taken, streams) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Some((_, stream)) = incoming.next().await {
                if taken.send(stream).await.is_err() {
                    return;
                }
            }
        });
        (Stranger::connect(swarm, node).await, streams)
    }

    async fn connect(mut swarm: Swarm<Behaviour>, node: &Node) -> Stranger {
        let (peer, control) = (*swarm.local_peer_id(), swarm.behaviour().stream.new_control());
        let connected = Arc::new(Mutex::new(Vec::new()));
        let seen = connected.clone();
        swarm.dial(node.address.clone()).unwrap();
        let host = tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
                *seen.lock().unwrap() = swarm.connected_peers().copied().collect();
            }
        });
        let stranger = Stranger { peer, control, connected, host };
        until("the stranger is connected", || stranger.connected.lock().unwrap().contains(&node.peer)).await;
        stranger
    }

    /// A stream of the sync protocol to the node.
    pub async fn open(&self, node: &Node) -> Stream {
        timeout(PATIENCE, self.control.clone().open_stream(node.peer, SYNC)).await.unwrap().unwrap()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.host.abort();
    }
}

pub async fn write(stream: &mut Stream, bytes: &[u8]) {
    let written = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    timeout(PATIENCE, written).await.unwrap().unwrap();
}

pub async fn write_frame(stream: &mut Stream, frame: &Frame) {
    let mut bytes = BytesMut::new();
    encode_frame(frame, &mut bytes).unwrap();
    write(stream, &bytes).await;
}

/// The next frame; `None` when the stream has ended.
pub async fn read_frame(stream: &mut Stream, frames: &mut FrameReader) -> Option<Frame> {
    loop {
        if let Some(frame) = frames.next_frame().unwrap() {
            return Some(frame);
        }
        let mut bytes = vec![0; 1 << 16];
        match timeout(PATIENCE, stream.read(&mut bytes)).await.unwrap() {
            Ok(0) | Err(_) => return None,
            Ok(count) => frames.buffer().extend_from_slice(&bytes[..count]),
        }
    }
}

/// Waits until the node closes the stream.
pub async fn closed(stream: &mut Stream) {
    let mut bytes = vec![0; 1 << 16];
    let end = async { while matches!(stream.read(&mut bytes).await, Ok(count) if count > 0) {} };
    timeout(PATIENCE, end).await.expect("the node closes the stream");
}
