use bytes::Bytes;

use crate::{
    Frame, RequestId,
    codec::{field_len, frame_body_len},
    limits::{FRAME_MAX, messages_max},
};

/// Length of the body of a [`Frame::Messages`] with messages of these lengths; its length prefix takes up to 3 bytes more.
pub fn messages_frame_len(request: RequestId, lengths: impl IntoIterator<Item = usize>) -> usize {
    frame_body_len(request, lengths.into_iter().map(field_len).sum())
}

/// Fills frames with the messages of one request.
///
/// ```
/// use bytes::Bytes;
/// use hearken_wire::{MessageBatch, RequestId};
///
/// let mut batch = MessageBatch::new(RequestId(1), 64 << 10);
/// let message = Bytes::from(vec![0; 1000]);
/// let full = (0..100).filter_map(|_| batch.push(message.clone())).count();
/// assert_eq!(full, 1);
/// assert!(batch.take().is_some() && batch.take().is_none());
/// ```
#[derive(Debug)]
pub struct MessageBatch {
    request: RequestId,
    target: usize,
    fields: usize,
    messages: Vec<Bytes>,
}

impl MessageBatch {
    /// An empty batch for frames whose bodies are at most `target` bytes long, or as long as the one message in them.
    pub fn new(request: RequestId, target: usize) -> MessageBatch {
        MessageBatch { request, target: target.min(FRAME_MAX), fields: 0, messages: Vec::new() }
    }

    /// Adds a message; gives the frame of those before it if it does not fit beside them.
    ///
    /// A message longer than [`MESSAGE_MAX`](crate::limits::MESSAGE_MAX) makes a frame that cannot be encoded.
    pub fn push(&mut self, message: Bytes) -> Option<Frame> {
        let field = field_len(message.len());
        let body = frame_body_len(self.request, self.fields + field);
        let full = self.messages.len() >= messages_max(body) || body > self.target;
        let frame = if full { self.take() } else { None };
        self.fields += field;
        self.messages.push(message);
        frame
    }

    /// The frame of what was added since the last one; `None` where that is nothing.
    pub fn take(&mut self) -> Option<Frame> {
        self.fields = 0;
        let messages = std::mem::take(&mut self.messages);
        (!messages.is_empty()).then_some(Frame::Messages { request: self.request, messages })
    }
}
