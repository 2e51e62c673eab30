use bytes::{Buf, BytesMut};
use prost::Message as _;

use crate::{
    EncodeError, Frame, FrameError,
    codec::{MESSAGES_TAG, read_frame, to_proto},
    limits::{CONTROL_FRAME_MAX, FRAME_MAX},
};

/// A length of 4 bytes is already 256 times too large.
const PREFIX_MAX: usize = 4;

/// Appends a frame, with its length before it, to what is to be written to the stream.
///
/// # Errors
/// What a receiver would refuse; then nothing is appended.
pub fn encode_frame(frame: &Frame, out: &mut BytesMut) -> Result<(), EncodeError> {
    let proto = to_proto(frame)?;
    let length = proto.encoded_len();
    out.reserve(prost::length_delimiter_len(length) + length);
    // A BytesMut grows as needed, so that there is always room.
    let _ = proto.encode_length_delimited(out);
    Ok(())
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
    Ok(Some(read_frame(received.split_to(length).freeze())?))
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
