//! Windows: nanoseconds with the decimal zeros that both ends share taken off, since horizons and starts are round times.

use crate::{DecodeError, EncodeError, Window, codec::proto};

/// The largest power of ten in 63 bits.
const SCALE_MAX: u32 = 18;
/// The last nanosecond of 63 bits: windows end here at the latest, so that any time fits into an `i64`.
const END_MAX: u64 = i64::MAX as u64;

pub(super) fn to_proto(window: &Window) -> Result<proto::Window, EncodeError> {
    let Window { from, to } = *window;
    if from > to || to > END_MAX {
        return Err(EncodeError::BadWindow(*window));
    }
    let (mut scale, mut unit) = (0, 1);
    while scale < SCALE_MAX && from % (unit * 10) == 0 && to % (unit * 10) == 0 {
        scale += 1;
        unit *= 10;
    }
    Ok(proto::Window { scale, start: from / unit, length: (to - from) / unit })
}

pub(super) fn from_proto(window: Option<proto::Window>) -> Result<Window, DecodeError> {
    // An absent window reads as one of length zero at the epoch, as protobuf has it.
    let proto::Window { scale, start, length } = window.unwrap_or_default();
    let checked = || {
        let unit = 10_u64.checked_pow(scale).filter(|_| scale <= SCALE_MAX)?;
        let from = start.checked_mul(unit)?;
        let to = from.checked_add(length.checked_mul(unit)?)?;
        (to <= END_MAX).then_some(Window { from, to })
    };
    checked().ok_or(DecodeError::BadWindow { scale, start, length })
}
