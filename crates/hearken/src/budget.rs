use std::sync::Arc;

use bytes::Bytes;
use hearken_wire::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a delivered message costs beside its bytes: its handle and its place in lists.
const OVERHEAD: usize = 64;

/// Bounds the delivered messages that are in memory and not yet stored, over all peers.
///
/// Each message carries its share with it and gives it back when the last handle to it is dropped, whoever drops it: the
/// engine that did not ask for it, or the task that has stored it. So the account cannot drift.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    room: Arc<Semaphore>,
    total: usize,
}

impl Budget {
    /// Room for `bytes`, less than 4 GiB.
    pub(crate) fn new(bytes: usize) -> Budget {
        let total = bytes.clamp(1, u32::MAX as usize);
        Budget { room: Arc::new(Semaphore::new(total)), total }
    }

    /// Waits for room for the messages in the frame, in the order of asking. While it waits its stream is not read, so that
    /// the neighbour is slowed down to what the archive can take.
    pub(crate) async fn admit(&self, frame: Frame) -> Frame {
        let Frame::Messages { request, messages } = frame else { return frame };
        let bytes = messages.iter().map(|message| message.len() + OVERHEAD).sum::<usize>().min(self.total);
        let Ok(share) = u32::try_from(bytes) else { return Frame::Messages { request, messages } };
        // The semaphore is never closed; if it were, the bound would be gone but nothing else.
        let Ok(share) = self.room.clone().acquire_many_owned(share).await else {
            return Frame::Messages { request, messages };
        };
        let share = Arc::new(share);
        let messages =
            messages.into_iter().map(|bytes| Bytes::from_owner(Metered { bytes, _share: share.clone() })).collect();
        Frame::Messages { request, messages }
    }
}

struct Metered {
    bytes: Bytes,
    _share: Arc<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Metered {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::FutureExt as _;
    use hearken_wire::RequestId;

    use super::*;

    fn messages(sizes: &[usize]) -> Frame {
        let messages = sizes.iter().map(|size| Bytes::from(vec![7; *size])).collect();
        Frame::Messages { request: RequestId(1), messages }
    }

    #[test]
    fn holds_back_until_the_last_message_is_dropped() {
        let budget = Budget::new(1000);
        let Frame::Messages { messages: mut first, .. } = budget.admit(messages(&[400, 300])).now_or_never().unwrap()
        else {
            panic!("a frame of messages stays one")
        };
        assert!(budget.admit(messages(&[400])).now_or_never().is_none());
        let kept = first.pop().unwrap();
        drop(first);
        assert!(budget.admit(messages(&[400])).now_or_never().is_none(), "a frame's share is given back as a whole");
        drop(kept);
        assert_eq!(budget.admit(messages(&[400])).now_or_never().unwrap(), messages(&[400]));
    }

    #[test]
    fn a_frame_over_the_whole_budget_passes_alone() {
        let budget = Budget::new(1000);
        let big = budget.admit(messages(&[5000])).now_or_never().unwrap();
        assert!(budget.admit(messages(&[1])).now_or_never().is_none());
        drop(big);
        assert!(budget.admit(messages(&[1])).now_or_never().is_some());
    }

    #[test]
    fn other_frames_cost_nothing() {
        let budget = Budget::new(1);
        let _full = budget.admit(messages(&[1])).now_or_never().unwrap();
        let done = Frame::Done { request: RequestId(1) };
        assert_eq!(budget.admit(done.clone()).now_or_never(), Some(done));
    }
}
