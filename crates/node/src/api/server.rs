use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, Sleep, interval, sleep, timeout};

use super::events::Watchers;
use super::guard::Rates;
use super::routes;
use crate::config::{Config, Listen, Settings};
use crate::metrics::{Metrics, UPKEEP_EVERY};
use crate::node::NodeHandle;

/// Connections at a time; further ones wait until one of them ends.
const CONNECTIONS: usize = 128;
/// After how long without a byte in either direction a connection is closed.
const IDLE: Duration = Duration::from_secs(30);
/// How long answers that are being written may take once the node stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// The interface could not listen.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP interface cannot listen on {address} (setting api.listen): {source}{hint}")]
pub struct ApiError {
    address: SocketAddr,
    source: io::Error,
    hint: &'static str,
}

/// A port that is listened on and not yet served: what can fail has not failed.
pub struct Listening {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl Listening {
    /// Listens where the settings say; `None` if they say nowhere.
    pub fn bind(config: &Config) -> Result<Option<Listening>, ApiError> {
        let Listen::At(address) = config.api.listen else { return Ok(None) };
        let bind = || {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Listening { listener, address })
        };
        bind().map(Some).map_err(|source: io::Error| {
            let hint = match source.kind() {
                io::ErrorKind::AddrInUse => {
                    ": another program listens there; stop it, or give another port, port 0 for any, or \"off\""
                }
                io::ErrorKind::AddrNotAvailable => ": this machine has no such address",
                io::ErrorKind::PermissionDenied => ": ports below 1024 are for privileged programs",
                _ => "",
            };
            ApiError { address, source, hint }
        })
    }
}

/// What every handler is given.
#[derive(Clone)]
pub(super) struct State(Arc<Shared>);

/// See [`State`].
pub(super) struct Shared {
    pub(super) node: NodeHandle,
    pub(super) metrics: &'static Metrics,
    pub(super) rates: Rates,
    pub(super) watchers: Watchers,
    /// A turn at work that takes long.
    pub(super) work: Arc<Semaphore>,
    /// Longest body of a request, in bytes.
    pub(super) max_body: usize,
    /// Whether other machines may change things.
    pub(super) admin: bool,
    /// Whether only this machine reaches the interface.
    pub(super) loopback: bool,
    /// Settings that a node starts with: its groups, its peers.
    pub(super) config: Config,
    /// Those in force now.
    pub(super) settings: Arc<Settings>,
    /// True once the interface is to end.
    pub(super) stop: watch::Receiver<bool>,
}

impl std::ops::Deref for State {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The interface of a running node. It ends when it is [stopped](Api::stop) or dropped.
pub struct Api {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Api {
    /// Serves the node's interface.
    pub fn start(
        listening: Listening,
        node: NodeHandle,
        metrics: &'static Metrics,
        settings: Arc<Settings>,
    ) -> io::Result<Api> {
        let config = settings.current();
        let Listening { listener, address } = listening;
        let listener = TcpListener::from_std(listener)?;
        let (stop, stopped) = watch::channel(false);
        let state = State(Arc::new(Shared {
            node,
            metrics,
            rates: Rates::new(config.api.rate),
            watchers: Watchers::default(),
            work: Arc::new(Semaphore::new(1)),
            // Base64 makes four bytes of three; the rest is for the other fields, which escapes may lengthen.
            max_body: config.messages.max_size.as_usize().saturating_mul(2).max(64 << 10),
            admin: config.api.admin,
            loopback: address.ip().to_canonical().is_loopback(),
            config,
            settings,
            stop: stopped.clone(),
        }));
        let connections = Connections { listener, slots: Arc::new(Semaphore::new(CONNECTIONS)) };
        let service = routes::router(state).into_make_service_with_connect_info::<Client>();
        let mut until = stopped.clone();
        let served = axum::serve(connections, service).with_graceful_shutdown(async move {
            let _ = until.wait_for(|stop| *stop).await;
        });
        let task = tokio::spawn(async move {
            let upkeep = tokio::spawn(keep_up(metrics, stopped));
            if let Err(error) = served.await {
                tracing::error!(%error, "the HTTP interface ended");
            }
            upkeep.abort();
        });
        Ok(Api { address, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and finishes those that are there if that does not take long.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let mut task = self.task;
        if timeout(FAREWELL, &mut task).await.is_err() {
            task.abort();
        }
    }
}

async fn keep_up(metrics: &'static Metrics, mut stop: watch::Receiver<bool>) {
    let mut ticks = interval(UPKEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            _ = ticks.tick() => metrics.upkeep(),
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client(pub(super) SocketAddr);

impl Connected<IncomingStream<'_, Connections>> for Client {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Client {
        Client(*stream.remote_addr())
    }
}

/// Accepts so many connections at a time.
struct Connections {
    listener: TcpListener,
    slots: Arc<Semaphore>,
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let slot = self.slots.clone().acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Connection { stream, idle: Box::pin(sleep(IDLE)), _slot: slot }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends by itself when nothing moves on it.
struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// What came of reading or writing, unless nothing has moved for too long.
    fn watch<T>(&mut self, context: &mut Context<'_>, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE);
            return moved;
        }
        self.idle.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watch(context, moved)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, moved)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
