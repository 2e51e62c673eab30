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
        let mut rest = Rest::new(&self.selection);
        while !rest.is_empty() {
            let (group, bytes) = (self.group, self.frame_bytes);
            let page;
            (rest, page) = self.read(move |archive| rest.read(archive, &group, bytes)).await?;
            for body in page {
                if body.len() > MESSAGE_MAX {
                    tracing::warn!(group = %self.group, size = body.len(), "a stored message is too long for any frame");
                } else if let Some(frame) = batch.push(body) {
                    self.send(frame, sent).await?;
                }
            }
        }
        if let Some(frame) = batch.take() {
            self.send(frame, sent).await?;
        }
        self.send(Frame::Done { request: self.request }, sent).await
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

/// What is still to be read of a selection.
struct Rest {
    selection: VecDeque<Selection>,
    /// How long messages of [`Selection::Keys`] are, as far as is known.
    typical: usize,
}

impl Rest {
    fn new(selection: &[Selection]) -> Rest {
        Rest { selection: selection.iter().cloned().collect(), typical: FIRST_GUESS }
    }

    fn is_empty(&self) -> bool {
        self.selection.is_empty()
    }

    /// Reads the next messages, of about so many bytes: out of as many selections as it takes, since each of them may be for a
    /// few messages only. Gives itself back.
    fn read(mut self, archive: &dyn Archive, group: &GroupId, bytes: usize) -> Result<(Rest, Vec<Bytes>), ReadError> {
        let (mut page, mut filled) = (Vec::new(), 0);
        while filled < bytes && page.len() < PAGE_MESSAGES {
            let limit = PageLimit { messages: PAGE_MESSAGES - page.len(), bytes: bytes - filled };
            let Some(next) = self.selection.pop_front() else { break };
            let (read, rest) = match next {
                Selection::Range { range, count } => read_range(archive, group, range, count, limit)?,
                Selection::Keys(keys) => self.read_keys(archive, keys, limit)?,
            };
            filled += read.iter().map(Bytes::len).sum::<usize>();
            page.extend(read);
            if let Some(rest) = rest {
                self.selection.push_front(rest);
            }
        }
        Ok((self, page))
    }

    /// One that was deleted meanwhile is left out.
    fn read_keys(&mut self, archive: &dyn Archive, mut keys: Vec<Key>, limit: PageLimit) -> Result<Read, ReadError> {
        let count = (limit.bytes / self.typical).clamp(1, limit.messages).min(keys.len());
        let later = keys.split_off(count);
        let bodies: Vec<Bytes> = archive.get(&keys)?.into_iter().flatten().map(|message| message.body).collect();
        if !bodies.is_empty() {
            self.typical = (bodies.iter().map(Bytes::len).sum::<usize>() / bodies.len()).max(1);
        }
        Ok((bodies, (!later.is_empty()).then_some(Selection::Keys(later))))
    }
}

/// Bodies that were read, and what is left of the selection.
type Read = (Vec<Bytes>, Option<Selection>);

/// Of the first `left` messages of the range.
fn read_range(
    archive: &dyn Archive,
    group: &GroupId,
    range: KeyRange,
    left: u64,
    limit: PageLimit,
) -> Result<Read, ReadError> {
    let messages = usize::try_from(left).map_or(limit.messages, |left| left.min(limit.messages));
    if messages == 0 || range.is_empty() {
        return Ok((Vec::new(), None));
    }
    let page = archive.scan(group, &range, PageLimit { messages, ..limit })?;
    let count = left.saturating_sub(page.len() as u64);
    let after = page.last().and_then(|last| KeyRange::new(next_key(&last.key), range.end()).ok());
    let rest = after.filter(|after| count > 0 && !after.is_empty()).map(|range| Selection::Range { range, count });
    Ok((page.into_iter().map(|message| message.body).collect(), rest))
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
