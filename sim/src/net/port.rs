//! A node's access to the network: what leaves it, and what reaches it, stands in line.

use super::Nanos;

/// How fast a node sends and receives, and for how long it is busy doing so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Port {
    /// Bytes a second; 0 is without bound.
    upload: u64,
    download: u64,
    /// Its upload when nothing is the matter.
    usual: u64,
    /// Everything to and from it takes so much longer.
    lag: Nanos,
    /// Sending, and receiving, is busy until then.
    sending: Nanos,
    receiving: Nanos,
}

impl Port {
    /// An idle one with so many bytes a second each way; 0 is without bound.
    pub(crate) fn new(upload: u64, download: u64) -> Port {
        Port { upload, download, usual: upload, ..Port::default() }
    }

    /// The node gets slow: so much is left of its upload, if that is said, and everything takes so much longer.
    pub(crate) fn slow_down(&mut self, upload: Option<u64>, lag: Nanos) {
        (self.upload, self.lag) = (upload.unwrap_or(self.usual), lag);
    }

    /// All is as usual again.
    pub(crate) fn recover(&mut self) {
        (self.upload, self.lag) = (self.usual, 0);
    }

    /// Sends so many bytes; when the last of them has left.
    pub(crate) fn send(&mut self, now: Nanos, bytes: u64) -> Nanos {
        if self.upload == 0 {
            return now;
        }
        self.sending = self.sending.max(now) + wire_time(bytes, self.upload);
        self.sending
    }

    /// Until when it is busy with what it was given to send.
    pub(crate) fn sending_until(&self) -> Nanos {
        self.sending
    }

    /// When so many bytes that left `sender` at `left`, on a way that takes `latency`, are here.
    pub(crate) fn receive(&mut self, left: Nanos, latency: Nanos, sender_lag: Nanos, bytes: u64) -> Nanos {
        let arrived = left + latency + sender_lag + self.lag;
        if self.download == 0 {
            return arrived;
        }
        self.receiving = self.receiving.max(arrived) + wire_time(bytes, self.download);
        self.receiving
    }

    pub(crate) fn lag(&self) -> Nanos {
        self.lag
    }
}

fn wire_time(bytes: u64, per_second: u64) -> Nanos {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(per_second);
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::SECOND;

    #[test]
    fn what_is_sent_stands_in_line_at_both_ends() {
        let (mut sender, mut receiver) = (Port::new(1_000, 0), Port::new(0, 500));
        assert_eq!(sender.send(0, 1_000), SECOND);
        assert_eq!(sender.send(0, 500), SECOND * 3 / 2);
        assert_eq!(receiver.receive(SECOND, 10, 0, 500), 2 * SECOND + 10);
        assert_eq!(receiver.receive(SECOND, 10, 0, 500), 3 * SECOND + 10);
    }

    #[test]
    fn who_was_slow_is_as_before() {
        let mut port = Port::new(1_000, 0);
        port.slow_down(None, 5);
        assert_eq!((port.send(0, 1_000), port.lag()), (SECOND, 5));
        port.slow_down(Some(10), 0);
        assert_eq!(port.send(SECOND, 10), 2 * SECOND);
        port.recover();
        assert_eq!((port.send(2 * SECOND, 1_000), port.lag()), (3 * SECOND, 0));
    }
}
