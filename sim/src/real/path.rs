//! What lies between two real nodes: the model of a virtual run, for bytes of a stream.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    net::{Nanos, dice::Dice, nanos, port::Port, real, whole},
    run::RETRANSMIT,
};

/// Who has so much in line does not take more: about what a socket's buffer holds.
const IN_LINE: Nanos = 50_000_000;

/// What is the same for all connections.
pub(super) struct Weather {
    began: Instant,
    jitter: Nanos,
    /// Share of transmissions that are lost now, in millionths.
    loss: AtomicU64,
}

impl Weather {
    pub(super) fn new(began: std::time::Instant, jitter: Nanos, loss: f64) -> Weather {
        let weather = Weather { began: began.into(), jitter, loss: AtomicU64::new(0) };
        weather.set_loss(loss);
        weather
    }

    pub(super) fn set_loss(&self, share: f64) {
        self.loss.store(whole(share * 1e6), Ordering::Relaxed);
    }

    fn loss(&self) -> f64 {
        real(self.loss.load(Ordering::Relaxed)) / 1e6
    }

    fn now(&self) -> Nanos {
        nanos(self.began.elapsed())
    }

    fn instant(&self, at: Nanos) -> Instant {
        self.began + Duration::from_nanos(at)
    }
}

/// Which end sends: the one that has dialled, or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Here,
    There,
}

/// What bytes go through on a connection, as the end sees it that has dialled.
pub(super) struct Path {
    /// One way.
    pub(super) latency: Nanos,
    pub(super) here: Arc<Mutex<Port>>,
    pub(super) there: Arc<Mutex<Port>>,
    pub(super) weather: Arc<Weather>,
    pub(super) dice: Dice,
}

impl Path {
    /// When so many bytes arrive that are sent now. What is lost is late: it is sent again, and what follows waits for it.
    pub(super) fn arrives(&mut self, from: From, bytes: usize) -> Instant {
        let late = if self.dice.chance(self.weather.loss()) { 2 * self.latency + RETRANSMIT } else { 0 };
        let latency = self.latency + self.dice.below(self.weather.jitter);
        let (sender, receiver) = match from {
            From::Here => (&self.here, &self.there),
            From::There => (&self.there, &self.here),
        };
        let (left, lag) = {
            let mut sender = lock(sender);
            (sender.send(self.weather.now(), bytes as u64), sender.lag())
        };
        let arrives = lock(receiver).receive(left, latency, lag, bytes as u64);
        self.weather.instant(arrives + late)
    }

    /// Until when an end takes nothing more to send; `None` if it takes it.
    pub(super) fn busy(&self, from: From) -> Option<Instant> {
        let sender = if from == From::Here { &self.here } else { &self.there };
        let free = lock(sender).sending_until().saturating_sub(IN_LINE);
        (free > self.weather.now()).then(|| self.weather.instant(free))
    }
}

pub(super) fn lock(port: &Mutex<Port>) -> MutexGuard<'_, Port> {
    port.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(upload: u64, jitter: Nanos, loss: f64) -> Path {
        let weather = Weather::new(std::time::Instant::now(), jitter, loss);
        let port = |upload| Arc::new(Mutex::new(Port::new(upload, 0)));
        let (here, there) = (port(upload), port(0));
        Path { latency: 1_000_000_000, here, there, weather: Arc::new(weather), dice: Dice::new(1) }
    }

    #[test]
    fn what_is_sent_stands_in_line_and_then_nothing_more_is_taken() {
        let mut path = path(1_000, 0, 0.0);
        assert!(path.busy(From::Here).is_none());
        // A thousand seconds of work: the second piece follows the first, whenever this thread gets to it.
        let (first, second) = (path.arrives(From::Here, 1_000_000), path.arrives(From::Here, 5_000));
        assert_eq!(second - first, Duration::from_secs(5));
        assert!(path.busy(From::Here).is_some() && path.busy(From::There).is_none());
    }

    #[test]
    fn what_is_lost_comes_a_round_trip_and_a_timeout_late() {
        let mut path = path(1_000, 0, 0.0);
        let first = path.arrives(From::Here, 1_000_000);
        path.weather.set_loss(1.0);
        let second = path.arrives(From::Here, 1_000);
        assert_eq!(second - first, Duration::from_secs(1 + 2) + Duration::from_nanos(RETRANSMIT));
    }

    #[test]
    fn jitter_is_on_top_of_latency() {
        let mut path = path(1_000, 500_000_000, 0.0);
        for _ in 0..100 {
            let arrives = path.arrives(From::Here, 100_000);
            let left = path.weather.instant(lock(&path.here).sending_until());
            let on_the_way = arrives - left;
            assert!((Duration::from_secs(1)..Duration::from_millis(1_500)).contains(&on_the_way), "{on_the_way:?}");
        }
    }
}
