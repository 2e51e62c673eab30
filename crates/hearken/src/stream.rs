//! One stream between two neighbours.
//!
//! A stream belongs to the node that opened it: that node sends its IWANTs on it and reads the answers from it. The other side
//! only answers. Two nodes that both want something use two streams, one each, so there is no tie to break when both open at
//! once, and a node that never asks never opens one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::BytesMut;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use hearken_wire::{EncodeError, Frame, FrameReader, PROTOCOL, encode_frame};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::OpenStreamError;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::Limits;
use crate::budget::Budget;
use crate::status::Counters;
use crate::work::{Stage, Work};

/// The protocol's id, as libp2p wants it.
pub(crate) const SYNC_PROTOCOL: StreamProtocol = StreamProtocol::new(PROTOCOL);

/// How often a stream is opened for the same requests. libp2p-stream drops inbound streams that arrive at the same moment, which
/// the opener sees as a stream that ends before anything came.
const ATTEMPTS: u32 = 3;
/// Wait before the second attempt; twice as long before the third.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// Time to say goodbye.
const CLOSE: Duration = Duration::from_secs(2);
/// Bytes that are read at a time.
const READ: usize = 16 << 10;

/// A stream's name within its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamId(pub(crate) u64);

/// Which stream, with whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) peer: PeerId,
    pub(crate) id: StreamId,
}

/// What came over a stream: a frame, or in the end how it ended.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) link: Link,
    pub(crate) what: Result<Frame, End>,
}

/// How a stream ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("closed")]
    Closed,
    #[error("the peer does not speak {PROTOCOL}")]
    Unsupported,
    #[error("what came is no frame that belongs here: {0}")]
    Garbage(String),
    #[error("no frame could be {0} in time")]
    Stalled(&'static str),
    #[error("a frame cannot be encoded: {0}")]
    Unsendable(#[from] EncodeError),
    #[error("{0}")]
    Broken(#[from] io::Error),
}

/// Where the frames for a stream come from. Answers pass by the messages that wait.
pub(crate) struct Outgoing {
    pub(crate) control: mpsc::Receiver<Frame>,
    /// Delivered messages; none on a stream that only asks.
    pub(crate) messages: Option<mpsc::Receiver<Frame>>,
}

impl Outgoing {
    /// The next frame; `None` once the driver wants the stream closed.
    async fn next(&mut self) -> Option<Frame> {
        let Some(messages) = &mut self.messages else { return self.control.recv().await };
        tokio::select! {
            biased;
            frame = self.control.recv() => frame,
            Some(frame) = messages.recv() => Some(frame),
        }
    }
}

/// What all streams share.
#[derive(Clone)]
pub(crate) struct Streams {
    pub(crate) control: libp2p_stream::Control,
    pub(crate) arrived: mpsc::Sender<Arrived>,
    pub(crate) budget: Budget,
    pub(crate) counters: Arc<Counters>,
    pub(crate) work: Arc<Work>,
    pub(crate) limits: Limits,
}

impl Streams {
    /// Opens a stream, sends requests on it and takes in what is answered, until the driver drops the queue or the stream ends.
    pub(crate) async fn ask(mut self, link: Link, requests: mpsc::Receiver<Frame>) {
        let end = self.ask_until(link, requests).await;
        let _ = self.arrived.send(Arrived { link, what: Err(end) }).await;
    }

    async fn ask_until(&mut self, link: Link, requests: mpsc::Receiver<Frame>) -> End {
        let mut outgoing = Outgoing { control: requests, messages: None };
        let heard = AtomicBool::new(false);
        let mut unheard = Vec::new();
        let mut wait = RETRY_AFTER;
        for attempt in 1.. {
            let stream = match self.open(link.peer).await {
                Ok(stream) => stream,
                Err(end) => return end,
            };
            let (read, write) = stream.split();
            let end = tokio::select! {
                end = self.receive(link, read, is_answer, &heard) => end,
                end = self.request(write, &mut outgoing, &mut unheard, &heard) => end,
            };
            if heard.load(Relaxed) || outgoing.control.is_closed() || attempt == ATTEMPTS || !end.is_of_the_stream() {
                return end;
            }
            tracing::debug!(peer = %link.peer, %end, attempt, "a stream ended before anything came: opening it again");
            sleep(wait).await;
            wait *= 2;
        }
        End::Closed
    }

    /// Takes in requests from a stream that a neighbour opened, and sends the answers, until the driver drops the queue or the
    /// stream ends.
    pub(crate) async fn answer(self, link: Link, stream: Stream, mut outgoing: Outgoing) {
        let (read, write) = stream.split();
        let heard = AtomicBool::new(false);
        let end = tokio::select! {
            end = self.receive(link, read, is_request, &heard) => end,
            end = self.send(write, &mut outgoing) => end,
        };
        let _ = self.arrived.send(Arrived { link, what: Err(end) }).await;
    }

    /// libp2p-stream dials a peer that is not connected; the driver aborts this as soon as it hears that one has left.
    async fn open(&mut self, peer: PeerId) -> Result<Stream, End> {
        match timeout(self.limits.open_timeout, self.control.open_stream(peer, SYNC_PROTOCOL)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(OpenStreamError::UnsupportedProtocol(_))) => Err(End::Unsupported),
            Ok(Err(OpenStreamError::Io(error))) => Err(End::Broken(error)),
            Ok(Err(error)) => Err(End::Broken(io::Error::other(error.to_string()))),
            Err(_) => Err(End::Stalled("sent on a new stream")),
        }
    }

    /// Hands frames over until the stream ends. While the driver is busy, or too much waits to be stored, it does not read.
    ///
    /// A neighbour may be silent for as long as it likes, but not in the middle of a frame.
    async fn receive(
        &self,
        link: Link,
        mut read: impl AsyncRead + Unpin,
        belongs: fn(&Frame) -> bool,
        heard: &AtomicBool,
    ) -> End {
        let mut frames = FrameReader::default();
        let mut deadline = None;
        loop {
            match frames.next_body() {
                Ok(Some(body)) => {
                    deadline = None;
                    let body = self.budget.admit(body).await;
                    let started = Instant::now();
                    let read = body.read();
                    self.work.add(Stage::Wire, started.elapsed());
                    let frame = match read {
                        Ok(frame) if belongs(&frame) => frame,
                        Ok(_) => return End::Garbage("a frame of the other direction".to_owned()),
                        Err(error) if error.is_skippable() => continue,
                        Err(error) => return End::Garbage(error.to_string()),
                    };
                    heard.store(true, Relaxed);
                    if self.arrived.send(Arrived { link, what: Ok(frame) }).await.is_err() {
                        return End::Closed;
                    }
                }
                Ok(None) => {
                    if !frames.is_within_frame() {
                        deadline = None;
                    } else if deadline.is_none() {
                        deadline = Some(Instant::now() + self.limits.frame_timeout);
                    }
                    if let Err(end) = fill(&mut read, frames.buffer(), deadline).await {
                        return end;
                    }
                }
                Err(error) => return End::Garbage(error.to_string()),
            }
        }
    }

    /// Sends requests, first those that a stream before this one did not get across.
    async fn request(
        &self,
        mut write: impl AsyncWrite + Unpin,
        outgoing: &mut Outgoing,
        unheard: &mut Vec<Frame>,
        heard: &AtomicBool,
    ) -> End {
        let mut buffer = BytesMut::new();
        for frame in &*unheard {
            if let Err(end) = self.write(&mut write, &mut buffer, frame).await {
                return end;
            }
        }
        while let Some(frame) = outgoing.next().await {
            if heard.load(Relaxed) {
                unheard.clear();
            } else if unheard.len() < self.limits.frames_waiting {
                unheard.push(frame.clone());
            }
            if let Err(end) = self.write(&mut write, &mut buffer, &frame).await {
                return end;
            }
        }
        close(write).await
    }

    async fn send(&self, mut write: impl AsyncWrite + Unpin, outgoing: &mut Outgoing) -> End {
        let mut buffer = BytesMut::new();
        while let Some(frame) = outgoing.next().await {
            if let Err(end) = self.write(&mut write, &mut buffer, &frame).await {
                return end;
            }
        }
        close(write).await
    }

    /// Writes one frame at the neighbour's pace, but not slower than one in [`Limits::frame_timeout`].
    async fn write(
        &self,
        write: &mut (impl AsyncWrite + Unpin),
        buffer: &mut BytesMut,
        frame: &Frame,
    ) -> Result<(), End> {
        let started = Instant::now();
        buffer.clear();
        encode_frame(frame, buffer)?;
        let written = async {
            write.write_all(buffer).await?;
            write.flush().await
        };
        timeout(self.limits.frame_timeout, written).await.map_err(|_| End::Stalled("written"))??;
        self.work.add(Stage::Wire, started.elapsed());
        self.counters.written(frame, buffer.len());
        Ok(())
    }
}

impl End {
    /// Whether it says nothing about the peer, so that another stream may do better.
    fn is_of_the_stream(&self) -> bool {
        matches!(self, End::Closed | End::Broken(_))
    }
}

fn is_request(frame: &Frame) -> bool {
    matches!(frame, Frame::Want(_) | Frame::Cancel { .. })
}

fn is_answer(frame: &Frame) -> bool {
    !is_request(frame)
}

/// Appends what can be read to `buffer`; until the deadline, if there is one.
async fn fill(
    read: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    deadline: Option<Instant>,
) -> Result<(), End> {
    let held = buffer.len();
    buffer.resize(held + READ, 0);
    let reading = read.read(buffer.get_mut(held..).unwrap_or_default());
    let count = match deadline {
        None => reading.await?,
        Some(deadline) => timeout_at(deadline, reading).await.map_err(|_| End::Stalled("read"))??,
    };
    buffer.truncate(held + count);
    match count {
        0 if held > 0 => Err(End::Broken(io::ErrorKind::UnexpectedEof.into())),
        0 => Err(End::Closed),
        _ => Ok(()),
    }
}

/// Lets the neighbour know that nothing more comes; if it does not take that in, the stream is reset when it is dropped.
async fn close(mut write: impl AsyncWrite + Unpin) -> End {
    let _ = timeout(CLOSE, write.close()).await;
    End::Closed
}
