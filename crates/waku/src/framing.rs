//! Frames of Waku's request protocols: the length as a varint, then a protobuf message.

use std::io::{self, ErrorKind};

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use prost::Message;

/// Bytes read at a time: a length that is announced but never sent costs no more memory than this.
const STEP: usize = 64 << 10;

/// Reads one frame of at most `limit` bytes.
///
/// # Errors
/// [`ErrorKind::InvalidData`] if it is larger, or no message of this type; what the stream says otherwise.
pub async fn read_frame<M: Message + Default>(stream: &mut (impl AsyncRead + Unpin), limit: usize) -> io::Result<M> {
    let length = read_length(stream).await?;
    let length = usize::try_from(length).ok().filter(|length| *length <= limit);
    let length =
        length.ok_or_else(|| invalid(format!("expected a frame of at most {limit} bytes, found a larger one")))?;
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let held = bytes.len();
        bytes.resize(length.min(held + STEP), 0);
        stream.read_exact(bytes.get_mut(held..).unwrap_or_default()).await?;
    }
    M::decode(bytes.as_slice()).map_err(|error| invalid(format!("expected a protobuf message: {error}")))
}

/// Writes one frame.
///
/// # Errors
/// What the stream says.
pub async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), message: &impl Message) -> io::Result<()> {
    stream.write_all(&message.encode_length_delimited_to_vec()).await?;
    stream.flush().await
}

/// At most ten bytes, as protobuf's varints.
async fn read_length(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<u64> {
    let mut length = 0u64;
    for place in 0..10 {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        let [byte] = byte;
        if place == 9 && byte > 1 {
            break;
        }
        length |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(invalid("expected a length as a varint of at most 64 bits".to_owned()))
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}
