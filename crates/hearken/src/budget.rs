use std::sync::Arc;

use bytes::Bytes;
use hearken_wire::FrameBody;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a delivered message costs beside its bytes: its handle and its place in lists.
const OVERHEAD: usize = 64;

/// Bounds the delivered messages that are in memory and not yet stored, over all peers.
///
/// Each frame of messages carries its share with it and gives it back when the last handle to one of them is dropped, whoever
/// drops it: the engine that did not ask for it, or the task that has stored it. So the account cannot drift.
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
    pub(crate) async fn admit(&self, frame: FrameBody) -> FrameBody {
        let messages = frame.messages();
        if messages == 0 {
            return frame;
        }
        let bytes = (frame.bytes().len() + messages * OVERHEAD).min(self.total);
        let Ok(share) = u32::try_from(bytes) else { return frame };
        // The semaphore is never closed; if it were, the bound would be gone but nothing else.
        let Ok(share) = self.room.clone().acquire_many_owned(share).await else { return frame };
        frame.owned(|bytes| Bytes::from_owner(Metered { bytes, _share: share }))
    }
}

struct Metered {
    bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Metered {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::BytesMut;
    use futures::FutureExt as _;
    use hearken_wire::{Frame, FrameReader, RequestId, encode_frame};

    use super::*;

    /// A frame as it comes.
    fn body(frame: &Frame) -> FrameBody {
        let (mut reader, mut bytes) = (FrameReader::default(), BytesMut::new());
        encode_frame(frame, &mut bytes).unwrap();
        reader.buffer().extend_from_slice(&bytes);
        reader.next_body().unwrap().unwrap()
    }

    fn messages(sizes: &[usize]) -> Frame {
        let messages = sizes.iter().map(|size| Bytes::from(vec![7; *size])).collect();
        Frame::Messages { request: RequestId(1), messages }
    }

    fn admit(budget: &Budget, sizes: &[usize]) -> Option<Vec<Bytes>> {
        match budget.admit(body(&messages(sizes))).now_or_never()?.read().unwrap() {
            Frame::Messages { messages, .. } => Some(messages),
            other => panic!("a frame of messages stays one: {other:?}"),
        }
    }

    #[test]
    fn holds_back_until_the_last_message_is_dropped() {
        let budget = Budget::new(1000);
        let mut first = admit(&budget, &[400, 300]).unwrap();
        assert!(admit(&budget, &[400]).is_none());
        let kept = first.pop().unwrap();
        drop(first);
        assert!(admit(&budget, &[400]).is_none(), "a frame's share is given back as a whole");
        drop(kept);
        assert_eq!(admit(&budget, &[400]).unwrap(), [vec![7; 400]]);
    }

    #[test]
    fn a_frame_over_the_whole_budget_passes_alone() {
        let budget = Budget::new(1000);
        let big = admit(&budget, &[5000]).unwrap();
        assert!(admit(&budget, &[1]).is_none());
        drop(big);
        assert!(admit(&budget, &[1]).is_some());
    }

    #[test]
    fn other_frames_cost_nothing() {
        let budget = Budget::new(1);
        let _full = admit(&budget, &[1]).unwrap();
        let done = Frame::Done { request: RequestId(1) };
        assert_eq!(budget.admit(body(&done)).now_or_never().unwrap().read().unwrap(), done);
    }
}
