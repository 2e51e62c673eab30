use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use hearken_archive::{Archive, PageLimit, ReadError};
use hearken_scheduler::{Selection, ServeOutcome};
use hearken_tree::{GroupId, Key, KeyRange};
use hearken_wire::limits::MESSAGE_MAX;
use hearken_wire::{Frame, MessageBatch, Refusal, RefusalReason, RequestId};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::reader::Reader;
use crate::work::Stage;

/// Messages that are read at a time at most, however small.
const PAGE_MESSAGES: usize = 1024;
/// What a message is taken to be long until one has been read.
const FIRST_GUESS: usize = 8 << 10;

/// The request of a neighbour that is being served.
pub(crate) struct Serve {
    pub(crate) reader: Reader,
    /// How many may be served at a time.
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) request: RequestId,
    pub(crate) group: GroupId,
    pub(crate) selection: Vec<Selection>,
    /// Size of the frames.
    pub(crate) frame_bytes: usize,
    /// The stream that the request came on. Holds one frame: there is one more in the writer and one being read.
    pub(crate) stream: mpsc::Sender<Frame>,
}

/// What was sent so far.
#[derive(Default)]
struct Sent {
    messages: u64,
    bytes: u64,
}

/// Why sending ended early.
enum Halt {
    /// The stream broke.
    Stopped,
    /// The archive failed.
    Failed(String),
}

impl From<ReadError> for Halt {
    fn from(error: ReadError) -> Halt {
        Halt::Failed(error.to_string())
    }
}

impl Serve {
    /// Sends what is selected, a page at a time, at the pace of the stream, until `stop` is sent to or dropped.
    pub(crate) async fn run(self, stop: oneshot::Receiver<()>) -> ServeOutcome {
        let mut sent = Sent::default();
        let result = tokio::select! {
            biased;
            _ = stop => Err(Halt::Stopped),
            () = self.stream.closed() => Err(Halt::Stopped),
            result = self.send_all(&mut sent) => result,
        };
        let Sent { messages, bytes } = sent;
        match result {
            Ok(()) => ServeOutcome::Complete { messages, bytes },
            Err(Halt::Stopped) => ServeOutcome::Stopped { messages, bytes },
            Err(Halt::Failed(error)) => {
                tracing::error!(group = %self.group, %error, "a request could not be served");
                let refusal = Refusal { request: self.request, reason: RefusalReason::Failed };
                // A stream that is gone says the same.
                let _ = self.stream.send(Frame::Refusal(refusal)).await;
                ServeOutcome::Failed
            }
        }
    }

    async fn send_all(&self, sent: &mut Sent) -> Result<(), Halt> {
        let _slot = self.slots.clone().acquire_owned().await;
        let mut batch = MessageBatch::new(self.request, self.frame_bytes);
        for selection in &self.selection {
            match selection {
                Selection::Range { range, count } => self.send_range(*range, *count, &mut batch, sent).await?,
                Selection::Keys(keys) => self.send_keys(keys, &mut batch, sent).await?,
            }
        }
        if let Some(frame) = batch.take() {
            self.send(frame, sent).await?;
        }
        self.send(Frame::Done { request: self.request }, sent).await
    }

    /// The first `left` messages of the range.
    async fn send_range(
        &self,
        range: KeyRange,
        mut left: u64,
        batch: &mut MessageBatch,
        sent: &mut Sent,
    ) -> Result<(), Halt> {
        let mut rest = range;
        while left > 0 && !rest.is_empty() {
            let messages = usize::try_from(left).map_or(PAGE_MESSAGES, |left| left.min(PAGE_MESSAGES));
            let (group, limit) = (self.group, PageLimit { messages, bytes: self.frame_bytes });
            let page = self.read(move |archive| archive.scan(&group, &rest, limit)).await?;
            let Some(last) = page.last() else { break };
            left = left.saturating_sub(page.len() as u64);
            let Ok(after) = KeyRange::new(next_key(&last.key), range.end()) else { break };
            rest = after;
            for message in page {
                self.send_message(message.body, batch, sent).await?;
            }
        }
        Ok(())
    }

    async fn send_keys(&self, keys: &[Key], batch: &mut MessageBatch, sent: &mut Sent) -> Result<(), Halt> {
        let mut rest: VecDeque<Key> = keys.iter().copied().collect();
        let mut typical = FIRST_GUESS;
        while !rest.is_empty() {
            let count = (self.frame_bytes / typical).clamp(1, PAGE_MESSAGES).min(rest.len());
            let page: Vec<Key> = rest.drain(..count).collect();
            let found = self.read(move |archive| archive.get(&page)).await?;
            // One that was deleted meanwhile is left out.
            let bodies: Vec<Bytes> = found.into_iter().flatten().map(|message| message.body).collect();
            typical = (bodies.iter().map(Bytes::len).sum::<usize>() / bodies.len().max(1)).max(1);
            for body in bodies {
                self.send_message(body, batch, sent).await?;
            }
        }
        Ok(())
    }

    async fn send_message(&self, body: Bytes, batch: &mut MessageBatch, sent: &mut Sent) -> Result<(), Halt> {
        if body.len() > MESSAGE_MAX {
            tracing::warn!(group = %self.group, size = body.len(), "a stored message is too long for any frame");
            return Ok(());
        }
        match batch.push(body) {
            Some(frame) => self.send(frame, sent).await,
            None => Ok(()),
        }
    }

    async fn send(&self, frame: Frame, sent: &mut Sent) -> Result<(), Halt> {
        let (messages, bytes) = match &frame {
            Frame::Messages { messages, .. } => (messages.len(), messages.iter().map(Bytes::len).sum()),
            _ => (0, 0),
        };
        self.stream.send(frame).await.map_err(|_| Halt::Stopped)?;
        sent.messages += messages as u64;
        sent.bytes += bytes as u64;
        Ok(())
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Archive) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Halt> {
        match self.reader.timed(Stage::ArchiveRead, read).await {
            Ok(result) => Ok(result?),
            Err(panic) => Err(Halt::Failed(panic.to_string())),
        }
    }
}

/// The smallest key after this one.
fn next_key(key: &Key) -> Key {
    let mut bytes = *key.as_bytes();
    for byte in bytes.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Key::from_bytes(bytes);
        }
    }
    Key::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_key_carries() {
        let mut bytes = [0xff; Key::LEN];
        bytes[0] = 3;
        let mut next = [0; Key::LEN];
        next[0] = 4;
        assert_eq!(next_key(&Key::from_bytes(bytes)), Key::from_bytes(next));
        assert_eq!(next_key(&Key::MAX), Key::MAX);
        assert!(next_key(&Key::MIN) > Key::MIN);
    }
}
