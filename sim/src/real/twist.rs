//! What a hostile node writes to its streams instead of what its task meant to: the same as a virtual one sends.

use std::sync::Arc;

use bytes::BytesMut;
use hearken_wire::{decode_frame, limits::FRAME_MAX};

use super::tap::{Carries, Tap, delimited};
use crate::run::{Fate, GARBAGE};

/// Stands between a task and one of its streams.
pub(super) struct Twist {
    tap: Arc<Tap>,
    carries: Carries,
    meant: BytesMut,
    /// What is to be written.
    pub(super) instead: BytesMut,
}

impl Twist {
    pub(super) fn new(tap: Arc<Tap>) -> Twist {
        Twist { tap, carries: Carries::Names, meant: BytesMut::new(), instead: BytesMut::new() }
    }

    /// Takes what was meant to be written.
    pub(super) fn take(&mut self, meant: &[u8]) {
        self.meant.extend_from_slice(meant);
        while self.take_one() {}
    }

    fn take_one(&mut self) -> bool {
        if matches!(self.carries, Carries::Gossip | Carries::Other) {
            self.instead.unsplit(self.meant.split());
            return false;
        }
        let Some((whole, prefix)) = delimited(&mut self.meant) else { return false };
        if self.carries == Carries::Names {
            self.carries = Carries::named(whole.get(prefix..).unwrap_or(&[]));
            self.instead.extend_from_slice(&whole);
            return true;
        }
        let frame = decode_frame(&mut BytesMut::from(&whole[..]), FRAME_MAX).ok().flatten();
        let fate = frame.zip(self.tap.hostile()).map_or(Fate::Sent, |(frame, hostile)| hostile.fate(&frame));
        match fate {
            Fate::Sent => self.instead.extend_from_slice(&whole),
            Fate::Dropped => {}
            Fate::Spoiled => self.instead.extend_from_slice(&GARBAGE),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Hostile;
    use hearken_wire::{Frame, PROTOCOL, RequestId, encode_frame};

    fn written(hostile: Hostile, name: &str, after: &[u8]) -> Vec<u8> {
        let tap = Tap::default();
        tap.turn(Some(hostile));
        let mut twist = Twist::new(Arc::new(tap));
        let name = format!("{name}\n");
        let mut meant = vec![u8::try_from(name.len()).expect("short")];
        meant.extend_from_slice(name.as_bytes());
        let names = meant.len();
        meant.extend_from_slice(after);
        // However it is cut.
        meant.chunks(3).for_each(|some| twist.take(some));
        assert_eq!(twist.instead[..names], meant[..names]);
        twist.instead[names..].to_vec()
    }

    #[test]
    fn only_what_it_does_not_say_is_left_out() {
        let frame = |frame: &Frame| {
            let mut bytes = BytesMut::new();
            encode_frame(frame, &mut bytes).expect("a frame");
            bytes.to_vec()
        };
        let request = RequestId(7);
        let done = frame(&Frame::Done { request });
        let messages = frame(&Frame::Messages { request, messages: vec![bytes::Bytes::from_static(&[1; 50])] });
        let both = [messages, done.clone()].concat();
        assert!(written(Hostile::Silent, PROTOCOL, &both).is_empty());
        assert_eq!(written(Hostile::Empty, PROTOCOL, &both), done);
        assert_eq!(written(Hostile::Forger, PROTOCOL, &both), both);
        assert_eq!(written(Hostile::Silent, "/another/1.0.0", &both), both);
        let cancel = frame(&Frame::Cancel { request });
        assert_eq!(written(Hostile::Silent, PROTOCOL, &cancel), cancel);
    }
}
