//! What every part of the engine needs: settings, time, randomness, and where actions go.
use std::collections::VecDeque;

use hearken_wire::{RequestId, Salt};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Action, Config, Now, Ticket};

pub(crate) struct Context<P> {
    pub(crate) config: Config,
    pub(crate) now: Now,
    pub(crate) rng: ChaCha8Rng,
    outbox: VecDeque<Action<P>>,
    tickets: u64,
    requests: std::ops::Range<u64>,
}

/// Where the names of requests start, at random: a node that was restarted does not meet those of its former life, which a neighbour may
/// still be serving. They take two bytes on the wire.
const FIRST_REQUEST: std::ops::Range<u64> = 1 << 7..1 << 14;

impl<P> Context<P> {
    pub(crate) fn new(config: Config, seed: u64, now: Now) -> Context<P> {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let mut names = rng.clone();
        names.set_stream(1);
        let first = names.random_range(FIRST_REQUEST);
        Context { config, now, rng, outbox: VecDeque::new(), tickets: 0, requests: first..first }
    }

    pub(crate) fn emit(&mut self, action: Action<P>) {
        self.outbox.push_back(action);
    }

    pub(crate) fn next_action(&mut self) -> Option<Action<P>> {
        self.outbox.pop_front()
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(crate) fn request(&mut self) -> RequestId {
        let request = RequestId(self.requests.end);
        self.requests.end += 1;
        request
    }

    /// Whether this node ever sent a request of this name.
    pub(crate) fn issued(&self, request: RequestId) -> bool {
        self.requests.contains(&request.0)
    }

    pub(crate) fn salt(&mut self) -> Salt {
        Salt(self.rng.random())
    }
}
