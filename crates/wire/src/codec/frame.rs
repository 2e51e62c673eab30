use bytes::{Buf, Bytes};
use hearken_tree::{GroupId, Key};
use prost::Message as _;

use crate::{
    Answer, DecodeError, EncodeError, Frame, Refusal, RefusalReason, RequestId, Salt, Want,
    codec::{
        ihave::fixed,
        packed::{Reader, check_items},
        proto::{self, frame::Body, refusal::Reason},
        ranges::{put_ranges, read_ranges},
        verdicts::{put_verdicts, read_verdicts},
        window,
    },
    limits::{CONTROL_FRAME_MAX, FRAME_MAX, MESSAGE_MAX, MESSAGES_MAX},
};

/// The first byte of a frame of messages: field 3, with a length.
pub(crate) const MESSAGES_TAG: u8 = 3 << 3 | 2;
/// Field 2 in it, with a length.
const MESSAGE_TAG: u64 = 2 << 3 | 2;

/// The frame as prost writes it, if a receiver will accept it.
pub(crate) fn to_proto(frame: &Frame) -> Result<proto::Frame, EncodeError> {
    let body = match frame {
        Frame::Want(want) => Body::Want(want_to_proto(want)?),
        Frame::Answer(answer) => Body::Answer(answer_to_proto(answer)?),
        Frame::Messages { request, messages } => {
            check_messages(messages)?;
            Body::Messages(proto::Messages { request: request.0, messages: messages.clone() })
        }
        Frame::Done { request } => Body::Done(proto::Done { request: request.0 }),
        Frame::Refusal(refusal) => {
            Body::Refusal(proto::Refusal { request: refusal.request.0, reason: reason_to_proto(refusal.reason).into() })
        }
        Frame::Cancel { request } => Body::Cancel(proto::Cancel { request: request.0 }),
    };
    let proto = proto::Frame { body: Some(body) };
    let (what, max) = match frame {
        Frame::Messages { .. } => ("a frame of messages", FRAME_MAX),
        _ => ("a frame without messages", CONTROL_FRAME_MAX),
    };
    let found = proto.encoded_len();
    if found > max { Err(EncodeError::TooLong { what, found, max }) } else { Ok(proto) }
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
    let inner = proto::Messages { request: request.0, messages: Vec::new() }.encoded_len() + fields;
    1 + prost::length_delimiter_len(inner) + inner
}

/// The frame in the body of a frame that was received; payloads stay slices of it.
pub(crate) fn read_frame(body: Bytes) -> Result<Frame, DecodeError> {
    let fields = scan(&body)?;
    if fields.messages > MESSAGES_MAX {
        let found = fields.messages as u64;
        return Err(DecodeError::TooMany { what: "messages in a frame", found, max: MESSAGES_MAX as u64 });
    }
    if fields.bodies > 1 {
        return Err(DecodeError::SeveralBodies);
    }
    if !fields.has_messages && body.len() > CONTROL_FRAME_MAX {
        let found = body.len() as u64;
        return Err(DecodeError::TooLong { what: "a frame without messages", found, max: CONTROL_FRAME_MAX });
    }
    match proto::Frame::decode(body)?.body {
        Some(Body::Want(want)) => read_want(want),
        Some(Body::Answer(answer)) => read_answer(answer),
        Some(Body::Messages(proto)) => {
            Ok(Frame::Messages { request: RequestId(proto.request), messages: proto.messages })
        }
        Some(Body::Done(done)) => Ok(Frame::Done { request: RequestId(done.request) }),
        Some(Body::Refusal(refusal)) => {
            Ok(Frame::Refusal(Refusal { request: RequestId(refusal.request), reason: read_reason(refusal.reason()) }))
        }
        Some(Body::Cancel(cancel)) => Ok(Frame::Cancel { request: RequestId(cancel.request) }),
        None => Err(fields.unknown.map_or(DecodeError::EmptyFrame, |field| DecodeError::UnknownFrame { field })),
    }
}

fn read_want(want: proto::Want) -> Result<Frame, DecodeError> {
    let holds = window::from_proto(want.holds)?;
    Ok(Frame::Want(Want {
        request: RequestId(want.request),
        group: GroupId(fixed(&want.group, "a group id")?),
        salt: Salt(want.salt),
        holds,
        ranges: read_ranges(&want.ranges, Key::at(holds.from))?,
    }))
}

fn read_answer(answer: proto::Answer) -> Result<Frame, DecodeError> {
    let holds = window::from_proto(answer.holds)?;
    Ok(Frame::Answer(Answer {
        request: RequestId(answer.request),
        holds,
        verdicts: read_verdicts(&answer.verdicts, Key::at(holds.from))?,
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
struct Fields {
    /// Whether it is a frame of messages.
    has_messages: bool,
    /// How many messages it has.
    messages: usize,
    /// How many things it says; protobuf would keep the last.
    bodies: usize,
    /// A field of `Frame` that this version does not know.
    unknown: Option<u64>,
}

/// Counts what prost would collect into vectors, which takes 32 bytes for 2.
fn scan(body: &Bytes) -> Result<Fields, DecodeError> {
    const WHAT: &str = "a frame's field";
    let mut fields = Fields::default();
    let mut reader = Reader::new(body.chunk());
    while reader.remaining() > 0 {
        let tag = reader.varint(WHAT)?;
        let value = read_value(&mut reader, tag, WHAT)?;
        if tag == u64::from(MESSAGES_TAG) {
            fields.has_messages = true;
            fields.messages += count_messages(value)?;
        }
        match tag >> 3 {
            1..=6 => fields.bodies += 1,
            field => fields.unknown = Some(field),
        }
    }
    Ok(fields)
}

fn count_messages(body: &[u8]) -> Result<usize, DecodeError> {
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
