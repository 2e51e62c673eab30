use bytes::{Buf, Bytes, BytesMut};

use crate::{
    EncodeError, Frame, FrameError,
    codec::{MESSAGES_TAG, count_messages, put_frame, read_frame},
    limits::{CONTROL_FRAME_MAX, FRAME_MAX},
};

/// A length of 4 bytes is already 256 times too large.
const PREFIX_MAX: usize = 4;

/// Appends a frame, with its length before it, to what is to be written to the stream.
///
/// # Errors
/// What a receiver would refuse; then nothing is appended.
pub fn encode_frame(frame: &Frame, out: &mut BytesMut) -> Result<(), EncodeError> {
    put_frame(frame, out)
}

/// Takes one frame off the front of what was read from the stream; `None` if it is not yet there in full.
///
/// Nothing is copied but syndromes and short ids: the payloads of [`Frame::Messages`] are slices of `received`'s memory,
/// which lives as long as any of them. `max` lowers [`FRAME_MAX`]; a frame without messages may never be longer than
/// [`CONTROL_FRAME_MAX`]. Both are checked as soon as the length is there, so that `received` need never hold more than
/// one frame and one read.
///
/// # Errors
/// See [`FrameError::is_skippable`] for what to do. An invalid frame has been taken off.
pub fn decode_frame(received: &mut BytesMut, max: usize) -> Result<Option<Frame>, FrameError> {
    take_body(received, max)?.map(FrameBody::read).transpose()
}

fn take_body(received: &mut BytesMut, max: usize) -> Result<Option<FrameBody>, FrameError> {
    let Some((prefix, length)) = read_prefix(received)? else { return Ok(None) };
    let max = max.min(FRAME_MAX);
    let max = match received.get(prefix) {
        // Not known yet what it is.
        None => max,
        Some(&MESSAGES_TAG) => max,
        Some(_) => max.min(CONTROL_FRAME_MAX),
    };
    if length > max {
        return Err(FrameError::TooLong { length: length as u64, max });
    }
    if received.len() < prefix + length {
        return Ok(None);
    }
    received.advance(prefix);
    Ok(Some(FrameBody(received.split_to(length).freeze())))
}

/// A frame that is there in full, and not read yet: for whoever has to account for its memory before it is handed on.
#[derive(Clone, Debug)]
pub struct FrameBody(Bytes);

impl FrameBody {
    /// How many messages it has, if it is a [`Frame::Messages`] and sound; 0 otherwise.
    pub fn messages(&self) -> usize {
        count_messages(&self.0)
    }

    /// The same frame in memory that belongs to what `own` makes of its bytes: the payloads read from it are slices of that.
    pub fn owned(self, own: impl FnOnce(Bytes) -> Bytes) -> FrameBody {
        FrameBody(own(self.0))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The frame.
    ///
    /// # Errors
    /// Where the body is no frame; what comes behind it on the stream may still be read.
    pub fn read(self) -> Result<Frame, FrameError> {
        Ok(read_frame(self.0)?)
    }
}

/// Length of the prefix and the length that it gives.
fn read_prefix(received: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
    let mut length = 0;
    for (index, byte) in received.iter().take(PREFIX_MAX).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return Ok(Some((index + 1, length)));
        }
    }
    if received.len() < PREFIX_MAX { Ok(None) } else { Err(FrameError::BadLength) }
}

/// Makes frames of what comes off a stream, in pieces of any size.
///
/// ```
/// use bytes::BytesMut;
/// use hearken_wire::{Frame, FrameReader, RequestId, encode_frame};
///
/// let mut stream = BytesMut::new();
/// encode_frame(&Frame::Done { request: RequestId(7) }, &mut stream)?;
///
/// let mut reader = FrameReader::default();
/// reader.buffer().extend_from_slice(&stream[..2]);
/// assert_eq!(reader.next_frame()?, None);
/// reader.buffer().extend_from_slice(&stream[2..]);
/// assert_eq!(reader.next_frame()?, Some(Frame::Done { request: RequestId(7) }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FrameReader {
    received: BytesMut,
    max: usize,
}

impl FrameReader {
    /// A reader that refuses frames with more than `max` bytes, or [`FRAME_MAX`] if that is less.
    pub fn new(max: usize) -> FrameReader {
        FrameReader { received: BytesMut::new(), max }
    }

    /// What was read and not yet taken: append to it, some ten kilobytes at a time, then call
    /// [`next_frame`](FrameReader::next_frame) until it gives `None`.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.received
    }

    /// The next frame, as [`decode_frame`] gives it.
    ///
    /// # Errors
    /// Those of [`decode_frame`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        decode_frame(&mut self.received, self.max)
    }

    /// The same in two steps: the next frame as it lies there.
    ///
    /// # Errors
    /// A length that is none, or is too large.
    pub fn next_body(&mut self) -> Result<Option<FrameBody>, FrameError> {
        take_body(&mut self.received, self.max)
    }

    /// Whether part of a frame is there, so that a stream which ends now was cut off.
    pub fn is_within_frame(&self) -> bool {
        !self.received.is_empty()
    }
}

impl Default for FrameReader {
    fn default() -> FrameReader {
        FrameReader::new(FRAME_MAX)
    }
}
