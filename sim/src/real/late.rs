//! A connection on which everything takes a while: it stands in line at both ends, travels, and now and then has to be sent again.

use std::{
    collections::VecDeque,
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use super::path::{From, Path};

/// Sent, but not yet arrived, bytes at most.
const ON_THE_WAY: usize = 8 << 20;
/// Bytes that are taken from the connection at a time.
const AT_A_TIME: usize = 16 << 10;

/// Delays both directions by what the path takes. An end without a path leaves that to the other one.
pub(super) struct Late<T> {
    inner: T,
    path: Option<Path>,
    coming: Way,
    going: Way,
    ended: bool,
    /// Somebody waits to write until then.
    blocked: Option<Instant>,
    /// Wakes who reads, and who writes or lets time pass.
    arrival: Pin<Box<Sleep>>,
    going_on: Pin<Box<Sleep>>,
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
        // What was sent later does not overtake: it is one stream.
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
    pub(super) fn new(inner: T, path: Option<Path>) -> Late<T> {
        let (coming, going) = (Way::default(), Way::default());
        let sleep = || Box::pin(sleep_until(Instant::now()));
        let (arrival, going_on, buffer) = (sleep(), sleep(), vec![0; AT_A_TIME].into());
        Late { inner, path, coming, going, ended: false, blocked: None, arrival, going_on, buffer }
    }

    /// Lets time pass: takes what comes, sends on what is due, and sees to it that the task is woken when there is more to do.
    fn drive(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(path) = &mut self.path else { return Ok(()) };
        let mut next = self.blocked;
        self.blocked = self.blocked.filter(|until| *until > Instant::now());
        while !self.ended && self.coming.bytes < ON_THE_WAY {
            if let Some(until) = path.busy(From::There) {
                next = earlier(next, until);
                break;
            }
            let Poll::Ready(many) = Pin::new(&mut self.inner).poll_read(cx, &mut self.buffer)? else { break };
            self.ended = many == 0;
            if let Some(bytes) = self.buffer.get(..many).filter(|bytes| !bytes.is_empty()) {
                self.coming.push(path.arrives(From::There, bytes.len()), bytes);
            }
        }
        while let Some(due) = self.going.next() {
            let Some(bytes) = self.going.arrived(Instant::now()) else {
                next = earlier(next, due);
                break;
            };
            let Poll::Ready(many) = Pin::new(&mut self.inner).poll_write(cx, bytes)? else { break };
            self.going.take(many);
        }
        if let Some(next) = next {
            wake_at(&mut self.going_on, next, cx);
        }
        Ok(())
    }
}

fn earlier(one: Option<Instant>, other: Instant) -> Option<Instant> {
    Some(one.map_or(other, |one| one.min(other)))
}

/// Wakes the task at that time, or at once if it has come.
fn wake_at(sleep: &mut Pin<Box<Sleep>>, at: Instant, cx: &mut Context<'_>) {
    sleep.as_mut().reset(at);
    if sleep.as_mut().poll(cx).is_ready() {
        cx.waker().wake_by_ref();
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Late<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.path.is_none() {
            return Pin::new(&mut self.inner).poll_read(cx, out);
        }
        self.drive(cx)?;
        if let Some(bytes) = self.coming.arrived(Instant::now()) {
            let many = bytes.len().min(out.len());
            out[..many].copy_from_slice(&bytes[..many]);
            self.coming.take(many);
            return Poll::Ready(Ok(many));
        }
        match self.coming.next() {
            Some(next) => wake_at(&mut self.arrival, next, cx),
            None if self.ended => return Poll::Ready(Ok(0)),
            None => {}
        }
        Poll::Pending
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Late<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let Some(path) = &mut this.path else { return Pin::new(&mut this.inner).poll_write(cx, bytes) };
        // As with a socket whose buffer is full.
        this.blocked = path.busy(From::Here);
        let full = this.blocked.is_some() || this.going.bytes >= ON_THE_WAY;
        if !full {
            this.going.push(path.arrives(From::Here, bytes.len()), bytes);
        }
        this.drive(cx)?;
        if full { Poll::Pending } else { Poll::Ready(Ok(bytes.len())) }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.drive(cx)?;
        // What is on its way has left this end.
        if self.path.is_none() { Pin::new(&mut self.inner).poll_flush(cx) } else { Poll::Ready(Ok(())) }
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
