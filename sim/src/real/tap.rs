//! What leaves a node, read from what it writes to its streams and counted by kind: nothing is asked of the node itself.

use std::{
    collections::HashSet,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures::{AsyncRead, AsyncWrite};
use hearken_wire::{Frame, decode_frame, limits::FRAME_MAX};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox};
use prost::Message as _;

use super::twist::Twist;
use crate::{
    run::{KINDS, Kind, frame_kind},
    scenario::Hostile,
};

/// What one node has sent.
#[derive(Default)]
pub(super) struct Tap {
    pub(super) sent: [AtomicU64; KINDS],
    /// Live messages pushed, each copy counted.
    pub(super) pushed: AtomicU64,
    /// Messages sent to neighbours that asked.
    pub(super) served: AtomicU64,
    /// IHAVEs published, forwarded ones not counted; the host counts them.
    pub(super) control_topic: String,
    /// What the node does to harm others now.
    pub(super) hostile: Mutex<Option<Hostile>>,
    /// Whether it ever does any: else its streams need no second look.
    pub(super) twisted: bool,
    /// Ids of messages on the control topic, for gossipsub's IWANTs, which name no topic. Shared by all nodes.
    pub(super) control_ids: Arc<Mutex<HashSet<Vec<u8>>>>,
}

impl Tap {
    pub(super) fn hostile(&self) -> Option<Hostile> {
        *self.hostile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn turn(&self, hostile: Option<Hostile>) {
        *self.hostile.lock().unwrap_or_else(PoisonError::into_inner) = hostile;
    }

    fn count(&self, kind: Kind, bytes: usize) {
        self.sent[kind as usize].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn is_control(&self, id: &[u8]) -> bool {
        self.control_ids.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// A message of gossipsub's, with its length.
    fn gossip(&self, rpc: Rpc, length: usize) {
        for message in &rpc.publish {
            let control = message.topic == self.control_topic;
            if control {
                let id = blake3::hash(&message.data).as_bytes().to_vec();
                self.control_ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            } else {
                self.pushed.fetch_add(1, Ordering::Relaxed);
            }
        }
        let Some(kind) = self.kind_of(&rpc) else { return };
        self.count(kind, length);
    }

    /// Gossipsub sends each message alone. Where control is about both topics, the larger part decides.
    fn kind_of(&self, rpc: &Rpc) -> Option<Kind> {
        if let Some(message) = rpc.publish.first() {
            return Some(if message.topic == self.control_topic { Kind::Ihave } else { Kind::Relay });
        }
        let control = rpc.control.as_ref()?;
        let haves = control.ihave.iter().map(|have| (have.topic == self.control_topic, have.ids.len()));
        let wants = control.iwant.iter().flat_map(|want| &want.ids).map(|id| (self.is_control(id), 1));
        let (mut ours, mut theirs) = (0, 0);
        haves.chain(wants).for_each(|(control, ids)| *(if control { &mut ours } else { &mut theirs }) += ids);
        if ours + theirs == 0 {
            return None;
        }
        Some(if ours > theirs { Kind::Ihave } else { Kind::RelayControl })
    }

    /// A frame of Hearken's, with its length.
    fn frame(&self, frame: &Frame, length: usize) {
        match frame {
            Frame::Messages { messages, .. } => {
                let payload: usize = messages.iter().map(Bytes::len).sum();
                self.served.fetch_add(messages.len() as u64, Ordering::Relaxed);
                self.count(Kind::Repair, payload);
                self.count(Kind::Framing, length - payload);
            }
            frame => self.count(frame_kind(frame), length),
        }
    }
}

/// Gossipsub's message, as far as it matters.
#[derive(Clone, PartialEq, prost::Message)]
struct Rpc {
    #[prost(message, repeated, tag = "2")]
    publish: Vec<Published>,
    #[prost(message, optional, tag = "3")]
    control: Option<Control>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Published {
    #[prost(bytes = "bytes", tag = "2")]
    data: Bytes,
    #[prost(string, tag = "4")]
    topic: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Control {
    #[prost(message, repeated, tag = "1")]
    ihave: Vec<Have>,
    #[prost(message, repeated, tag = "2")]
    iwant: Vec<Want>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Have {
    #[prost(string, tag = "1")]
    topic: String,
    #[prost(bytes = "vec", repeated, tag = "2")]
    ids: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Want {
    #[prost(bytes = "vec", repeated, tag = "1")]
    ids: Vec<Vec<u8>>,
}

/// What a stream turned out to carry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    /// Lines of multistream-select, until one names the protocol.
    Names,
    Gossip,
    Frames,
    Other,
}

impl Carries {
    /// What it carries after this line.
    pub(super) fn named(line: &[u8]) -> Carries {
        match line {
            b"/multistream/1.0.0\n" | b"na\n" => Carries::Names,
            line if line.starts_with(RELAY_PROTOCOL.as_bytes()) => Carries::Gossip,
            line if line.starts_with(hearken_wire::PROTOCOL.as_bytes()) => Carries::Frames,
            _ => Carries::Other,
        }
    }
}

/// What comes next with its length before it, and how long that length is.
pub(super) fn delimited(unread: &mut BytesMut) -> Option<(Bytes, usize)> {
    let mut peek = &unread[..];
    let length = usize::try_from(prost::decode_length_delimiter(&mut peek).ok()? as u64).ok()?;
    let prefix = unread.len() - peek.len();
    (peek.len() >= length).then(|| (unread.split_to(prefix + length).freeze(), prefix))
}

/// Reads along what one end of a stream writes.
struct Reader {
    tap: Arc<Tap>,
    carries: Carries,
    unread: BytesMut,
}

impl Reader {
    fn read(&mut self, written: &[u8]) {
        if self.carries == Carries::Other {
            return;
        }
        self.unread.extend_from_slice(written);
        loop {
            let more = match self.carries {
                Carries::Names => self.read_name(),
                Carries::Gossip => self.read_gossip(),
                Carries::Frames => self.read_frame(),
                Carries::Other => false,
            };
            if !more {
                break;
            }
        }
    }

    fn read_name(&mut self) -> bool {
        let Some((line, prefix)) = delimited(&mut self.unread) else { return false };
        self.carries = Carries::named(line.get(prefix..).unwrap_or(&[]));
        true
    }

    fn read_gossip(&mut self) -> bool {
        let Some((rpc, prefix)) = delimited(&mut self.unread) else { return false };
        let length = rpc.len();
        if let Ok(rpc) = Rpc::decode(rpc.slice(prefix..)) {
            self.tap.gossip(rpc, length);
        }
        true
    }

    fn read_frame(&mut self) -> bool {
        let before = self.unread.len();
        match decode_frame(&mut self.unread, FRAME_MAX) {
            Ok(Some(frame)) => {
                self.tap.frame(&frame, before - self.unread.len());
                true
            }
            Ok(None) => false,
            Err(_) => {
                self.carries = Carries::Other;
                false
            }
        }
    }
}

/// Waku's relay: gossipsub under a name of its own.
pub(super) const RELAY_PROTOCOL: &str = "/vac/waku/relay/2.0.0";

/// A connection whose streams are read along.
pub(super) struct Tapped {
    pub(super) inner: StreamMuxerBox,
    pub(super) tap: Arc<Tap>,
}

impl Tapped {
    fn tapped(&self, stream: SubstreamBox) -> TappedStream {
        let twist = Twist::new(self.tap.clone());
        let reader = Reader { tap: self.tap.clone(), carries: Carries::Names, unread: BytesMut::new() };
        TappedStream { inner: stream, reader, twist }
    }
}

impl StreamMuxer for Tapped {
    type Substream = TappedStream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<TappedStream>> {
        Pin::new(&mut self.inner).poll_inbound(cx).map_ok(|stream| self.tapped(stream))
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<TappedStream>> {
        Pin::new(&mut self.inner).poll_outbound(cx).map_ok(|stream| self.tapped(stream))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

/// A stream that is read along, and on which hostile nodes do not write what they should.
pub(super) struct TappedStream {
    inner: SubstreamBox,
    reader: Reader,
    twist: Twist,
}

impl TappedStream {
    fn put(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(many)) = &written {
            self.reader.read(bytes.get(..*many).unwrap_or(&[]));
        }
        written
    }

    /// Writes what is to be written instead of what was meant.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.twist.instead.is_empty() {
            let mut instead = self.twist.instead.split();
            let written = self.put(cx, &instead);
            let many = if let Poll::Ready(Ok(many)) = &written { *many } else { 0 };
            self.twist.instead = instead.split_off(many);
            ready!(written)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TappedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(cx, out)
    }
}

impl AsyncWrite for TappedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.reader.tap.twisted {
            return self.put(cx, bytes);
        }
        ready!(self.drain(cx))?;
        self.twist.take(bytes);
        let _ = self.drain(cx)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
