//! A connection on which everything takes a while.

use std::{
    collections::VecDeque,
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

/// Read, but not yet arrived, bytes at most.
const ON_THE_WAY: usize = 8 << 20;
/// Bytes that are taken from the connection at a time.
const AT_A_TIME: usize = 16 << 10;

/// Delays both directions by a time that may change, in nanoseconds.
pub(super) struct Late<T> {
    inner: T,
    latency: Arc<AtomicU64>,
    coming: Way,
    going: Way,
    ended: bool,
    sleep: Pin<Box<Sleep>>,
    buffer: Box<[u8]>,
}

/// Bytes and when they arrive, in order.
#[derive(Default)]
struct Way {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    /// Of the first piece, what has gone on.
    done: usize,
    bytes: usize,
}

impl Way {
    fn push(&mut self, at: Instant, bytes: &[u8]) {
        // What was sent later does not overtake, though the wire has become shorter.
        let at = self.pieces.back().map_or(at, |(last, _)| at.max(*last));
        self.pieces.push_back((at, bytes.to_vec()));
        self.bytes += bytes.len();
    }

    /// When the first piece arrives.
    fn next(&self) -> Option<Instant> {
        self.pieces.front().map(|(at, _)| *at)
    }

    /// What has arrived by `now`.
    fn arrived(&self, now: Instant) -> Option<&[u8]> {
        self.pieces.front().filter(|(at, _)| *at <= now).and_then(|(_, bytes)| bytes.get(self.done..))
    }

    fn take(&mut self, many: usize) {
        self.done += many;
        self.bytes -= many;
        if self.pieces.front().is_some_and(|(_, bytes)| bytes.len() <= self.done) {
            self.pieces.pop_front();
            self.done = 0;
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Late<T> {
    pub(super) fn new(inner: T, latency: Arc<AtomicU64>) -> Late<T> {
        let (coming, going) = (Way::default(), Way::default());
        let sleep = Box::pin(sleep_until(Instant::now()));
        Late { inner, latency, coming, going, ended: false, sleep, buffer: vec![0; AT_A_TIME].into() }
    }

    fn arrives(&self) -> Instant {
        Instant::now() + Duration::from_nanos(self.latency.load(Ordering::Relaxed))
    }

    /// Lets time pass: takes what comes, sends on what is due, and sees to it that the task is woken for the next piece.
    fn drive(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.ended && self.coming.bytes < ON_THE_WAY {
            let Poll::Ready(many) = Pin::new(&mut self.inner).poll_read(cx, &mut self.buffer)? else { break };
            self.ended = many == 0;
            let at = self.arrives();
            if let Some(bytes) = self.buffer.get(..many).filter(|bytes| !bytes.is_empty()) {
                self.coming.push(at, bytes);
            }
        }
        while let Some(bytes) = self.going.arrived(Instant::now()) {
            let Poll::Ready(many) = Pin::new(&mut self.inner).poll_write(cx, bytes)? else { break };
            self.going.take(many);
        }
        let next = [self.coming.next(), self.going.next()].into_iter().flatten().min();
        if let Some(next) = next.filter(|next| *next > Instant::now()) {
            self.sleep.as_mut().reset(next);
            if self.sleep.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Ok(())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Late<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        self.drive(cx)?;
        let Some(bytes) = self.coming.arrived(Instant::now()) else {
            return if self.ended && self.coming.pieces.is_empty() { Poll::Ready(Ok(0)) } else { Poll::Pending };
        };
        let many = bytes.len().min(out.len());
        out[..many].copy_from_slice(&bytes[..many]);
        self.coming.take(many);
        Poll::Ready(Ok(many))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Late<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let at = self.arrives();
        self.going.push(at, bytes);
        self.drive(cx)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.drive(cx)?;
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is on its way goes at once: who closes does not wait.
        while let Some((_, bytes)) = self.going.pieces.front().cloned() {
            let rest = bytes.get(self.going.done..).unwrap_or(&[]);
            let many = ready!(Pin::new(&mut self.inner).poll_write(cx, rest))?;
            self.going.take(many);
        }
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
