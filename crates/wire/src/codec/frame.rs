use bytes::{BufMut as _, Bytes, BytesMut};
use hearken_tree::{GroupId, Key};
use prost::Message as _;

use crate::{
    Answer, DecodeError, EncodeError, Frame, Refusal, RefusalReason, RequestId, Salt, Want,
    codec::{
        ihave::fixed,
        packed::{Reader, check_items, put_varint},
        proto::{self, frame::Body, refusal::Reason},
        ranges::{put_ranges, read_ranges},
        verdicts::{put_verdicts, read_verdicts},
        window,
    },
    limits::{CONTROL_FRAME_MAX, FRAME_MAX, MESSAGE_MAX, MESSAGES_MAX, messages_max},
};

/// The first byte of a frame of messages: field 3, with a length.
pub(crate) const MESSAGES_TAG: u8 = 3 << 3 | 2;
/// Field 1 in it, a varint.
const REQUEST_TAG: u64 = 1 << 3;
/// Field 2 in it, with a length.
const MESSAGE_TAG: u64 = 2 << 3 | 2;

/// Appends the frame with its length, if a receiver will accept it; nothing otherwise.
pub(crate) fn put_frame(frame: &Frame, out: &mut BytesMut) -> Result<(), EncodeError> {
    let body = match frame {
        Frame::Messages { request, messages } => return put_messages(*request, messages, out),
        Frame::Want(want) => Body::Want(want_to_proto(want)?),
        Frame::Answer(answer) => Body::Answer(answer_to_proto(answer)?),
        Frame::Done { request } => Body::Done(proto::Done { request: request.0 }),
        Frame::Refusal(refusal) => {
            Body::Refusal(proto::Refusal { request: refusal.request.0, reason: reason_to_proto(refusal.reason).into() })
        }
        Frame::Cancel { request } => Body::Cancel(proto::Cancel { request: request.0 }),
    };
    let proto = proto::Frame { body: Some(body) };
    let found = proto.encoded_len();
    if found > CONTROL_FRAME_MAX {
        return Err(EncodeError::TooLong { what: "a frame without messages", found, max: CONTROL_FRAME_MAX });
    }
    out.reserve(prost::length_delimiter_len(found) + found);
    // A BytesMut grows as needed, so that there is always room.
    let _ = proto.encode_length_delimited(out);
    Ok(())
}

/// The same for a frame of messages, as prost would write it, but without a list of them of its own.
fn put_messages(request: RequestId, messages: &[Bytes], out: &mut BytesMut) -> Result<(), EncodeError> {
    check_messages(messages)?;
    let fields = messages.iter().map(|message| field_len(message.len())).sum();
    let found = frame_body_len(request, fields);
    if found > FRAME_MAX {
        return Err(EncodeError::TooLong { what: "a frame of messages", found, max: FRAME_MAX });
    }
    check_items("messages in a frame of its length", messages_max(found), messages.len())?;
    out.reserve(prost::length_delimiter_len(found) + found);
    put_varint(out, found as u64);
    out.put_u8(MESSAGES_TAG);
    put_varint(out, messages_len(request, fields) as u64);
    if request.0 != 0 {
        put_varint(out, REQUEST_TAG);
        put_varint(out, request.0);
    }
    for message in messages {
        put_varint(out, MESSAGE_TAG);
        put_varint(out, message.len() as u64);
        out.put_slice(message);
    }
    Ok(())
}

fn want_to_proto(want: &Want) -> Result<proto::Want, EncodeError> {
    let mut ranges = Vec::new();
    put_ranges(&mut ranges, Key::at(want.holds.from), &want.ranges)?;
    Ok(proto::Want {
        request: want.request.0,
        group: Bytes::copy_from_slice(&want.group.0),
        salt: want.salt.0,
        holds: Some(window::to_proto(&want.holds)?),
        ranges: ranges.into(),
    })
}

fn answer_to_proto(answer: &Answer) -> Result<proto::Answer, EncodeError> {
    let mut verdicts = Vec::new();
    put_verdicts(&mut verdicts, Key::at(answer.holds.from), &answer.verdicts)?;
    Ok(proto::Answer {
        request: answer.request.0,
        holds: Some(window::to_proto(&answer.holds)?),
        verdicts: verdicts.into(),
    })
}

fn check_messages(messages: &[Bytes]) -> Result<(), EncodeError> {
    check_items("messages in a frame", MESSAGES_MAX, messages.len())?;
    match messages.iter().map(Bytes::len).find(|length| *length > MESSAGE_MAX) {
        Some(found) => Err(EncodeError::TooLong { what: "a message", found, max: MESSAGE_MAX }),
        None => Ok(()),
    }
}

fn reason_to_proto(reason: RefusalReason) -> Reason {
    match reason {
        RefusalReason::Busy => Reason::Busy,
        RefusalReason::Unsupported => Reason::Unsupported,
        RefusalReason::UnknownGroup => Reason::UnknownGroup,
        RefusalReason::TooCostly => Reason::TooCostly,
        RefusalReason::RateLimited => Reason::RateLimited,
        RefusalReason::Failed => Reason::Failed,
    }
}

/// Length of the body of a frame of messages: `fields` is what they take in it.
pub(crate) fn frame_body_len(request: RequestId, fields: usize) -> usize {
    let inner = messages_len(request, fields);
    1 + prost::length_delimiter_len(inner) + inner
}

/// Length of what is in that body behind its tag and length.
fn messages_len(request: RequestId, fields: usize) -> usize {
    proto::Messages { request: request.0, messages: Vec::new() }.encoded_len() + fields
}

/// Bytes that a message takes in its frame: a tag, its length, itself.
pub(crate) fn field_len(length: usize) -> usize {
    1 + prost::length_delimiter_len(length) + length
}

/// The frame in the body of a frame that was received; payloads stay slices of it.
pub(crate) fn read_frame(body: Bytes) -> Result<Frame, DecodeError> {
    let fields = scan(&body)?;
    let max = messages_max(body.len());
    if fields.messages > max {
        let found = fields.messages as u64;
        return Err(DecodeError::TooMany { what: "messages in a frame of its length", found, max: max as u64 });
    }
    if fields.bodies > 1 {
        return Err(DecodeError::SeveralBodies);
    }
    if fields.messages_body.is_none() && body.len() > CONTROL_FRAME_MAX {
        let found = body.len() as u64;
        return Err(DecodeError::TooLong { what: "a frame without messages", found, max: CONTROL_FRAME_MAX });
    }
    if let Some(value) = fields.messages_body {
        return read_messages(&body, value, fields.messages);
    }
    let unknown = fields.unknown;
    match proto::Frame::decode(body)?.body {
        Some(Body::Want(want)) => read_want(want),
        Some(Body::Answer(answer)) => read_answer(answer),
        // Read above: `scan` finds each.
        Some(Body::Messages(_)) => Err(DecodeError::EmptyFrame),
        Some(Body::Done(done)) => Ok(Frame::Done { request: RequestId(done.request) }),
        Some(Body::Refusal(refusal)) => {
            Ok(Frame::Refusal(Refusal { request: RequestId(refusal.request), reason: read_reason(refusal.reason()) }))
        }
        Some(Body::Cancel(cancel)) => Ok(Frame::Cancel { request: RequestId(cancel.request) }),
        None => Err(unknown.map_or(DecodeError::EmptyFrame, |field| DecodeError::UnknownFrame { field })),
    }
}

/// Reads a frame of messages, whose number is known: prost would grow its list as it goes, to several times its size.
fn read_messages(body: &Bytes, value: &[u8], count: usize) -> Result<Frame, DecodeError> {
    const WHAT: &str = "a field of a frame of messages";
    let (mut request, mut messages) = (0, Vec::with_capacity(count));
    let mut reader = Reader::new(value);
    while reader.remaining() > 0 {
        let tag = reader.varint(WHAT)?;
        match tag {
            REQUEST_TAG => request = reader.varint(WHAT)?,
            MESSAGE_TAG => messages.push(body.slice_ref(read_value(&mut reader, tag, WHAT)?)),
            // The same fields in another shape.
            _ if matches!(tag >> 3, 1 | 2) => {
                let header = u8::try_from(tag).unwrap_or_default();
                return Err(DecodeError::UnknownKind { what: WHAT, header });
            }
            _ => {
                read_value(&mut reader, tag, WHAT)?;
            }
        }
    }
    Ok(Frame::Messages { request: RequestId(request), messages })
}

fn read_want(want: proto::Want) -> Result<Frame, DecodeError> {
    let holds = window::from_proto(want.holds)?;
    Ok(Frame::Want(Want {
        request: RequestId(want.request),
        group: GroupId(fixed(&want.group, "a group id")?),
        salt: Salt(want.salt),
        holds,
        ranges: read_ranges(want.ranges, Key::at(holds.from))?,
    }))
}

fn read_answer(answer: proto::Answer) -> Result<Frame, DecodeError> {
    let holds = window::from_proto(answer.holds)?;
    Ok(Frame::Answer(Answer {
        request: RequestId(answer.request),
        holds,
        verdicts: read_verdicts(answer.verdicts, Key::at(holds.from))?,
    }))
}

fn read_reason(reason: Reason) -> RefusalReason {
    match reason {
        Reason::Busy => RefusalReason::Busy,
        Reason::Unsupported => RefusalReason::Unsupported,
        Reason::UnknownGroup => RefusalReason::UnknownGroup,
        Reason::TooCostly => RefusalReason::TooCostly,
        Reason::RateLimited => RefusalReason::RateLimited,
        Reason::Failed | Reason::Unspecified => RefusalReason::Failed,
    }
}

/// What a frame holds, found without allocating.
#[derive(Default)]
struct Fields<'a> {
    /// What it holds if it is a frame of messages.
    messages_body: Option<&'a [u8]>,
    /// How many messages it has.
    messages: usize,
    /// How many things it says; protobuf would keep the last.
    bodies: usize,
    /// A field of `Frame` that this version does not know.
    unknown: Option<u64>,
}

/// How many messages are in the body of a frame; 0 if it is not one of messages, or is not sound.
pub(crate) fn count_messages(body: &[u8]) -> usize {
    scan(body).map_or(0, |fields| fields.messages)
}

/// Counts what takes 32 bytes for 2 once it is collected.
fn scan(body: &[u8]) -> Result<Fields<'_>, DecodeError> {
    const WHAT: &str = "a frame's field";
    let mut fields = Fields::default();
    let mut reader = Reader::new(body);
    while reader.remaining() > 0 {
        let tag = reader.varint(WHAT)?;
        let value = read_value(&mut reader, tag, WHAT)?;
        if tag == u64::from(MESSAGES_TAG) {
            fields.messages_body = Some(value);
            fields.messages += count_in(value)?;
        }
        match tag >> 3 {
            1..=6 => fields.bodies += 1,
            field => fields.unknown = Some(field),
        }
    }
    Ok(fields)
}

fn count_in(body: &[u8]) -> Result<usize, DecodeError> {
    const WHAT: &str = "a field of a frame of messages";
    let mut count = 0;
    let mut reader = Reader::new(body);
    while reader.remaining() > 0 {
        let tag = reader.varint(WHAT)?;
        read_value(&mut reader, tag, WHAT)?;
        count += usize::from(tag == MESSAGE_TAG);
    }
    Ok(count)
}

/// Walks over a field's value; gives that of one with a length.
fn read_value<'a>(reader: &mut Reader<'a>, tag: u64, what: &'static str) -> Result<&'a [u8], DecodeError> {
    match tag & 7 {
        0 => reader.varint(what).map(|_| &[][..]),
        1 => reader.take(8, what),
        2 => {
            let length = reader.varint(what)?;
            reader.take(usize::try_from(length).map_err(|_| DecodeError::Truncated { what })?, what)
        }
        5 => reader.take(4, what),
        // Groups, which proto3 does not have, and what is no wire type.
        header => Err(DecodeError::UnknownKind { what, header: u8::try_from(header).unwrap_or_default() }),
    }
}
