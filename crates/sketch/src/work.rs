//! What sketches cost, known before anything is done.
//!
//! One unit is about one multiplication in the field, as encoding does them: less than a nanosecond with carry-less
//! multiplication, some nanoseconds without. The figures depend on sizes only, so both sides get the same, and they are
//! bounds: what a hostile peer sends does not make decoding dearer. All saturate.

/// What takes one element in, whatever the capacity: its short id, its first powers, its lookup among the found.
const PER_ELEMENT: u64 = 8;

/// Berlekamp-Massey and the factoring of a locator, for each squared capacity, at worst. Usually it is half of this.
const PER_SQUARED_CAPACITY: u64 = 128;

/// The units of encoding `elements` at `capacity`: what the requester pays.
pub fn encode_work(elements: usize, capacity: usize) -> u64 {
    as_u64(elements).saturating_mul(as_u64(capacity).saturating_add(PER_ELEMENT))
}

/// The units of encoding `elements` at `capacity`, and of decoding among them: what the provider pays.
pub fn work(elements: usize, capacity: usize) -> u64 {
    let lookups = as_u64(elements).saturating_mul(PER_ELEMENT);
    encode_work(elements, capacity).saturating_add(lookups).saturating_add(factor_work(capacity))
}

/// The units of finding the roots of a locator of this degree without knowing where to look.
pub(crate) fn factor_work(degree: usize) -> u64 {
    let degree = as_u64(degree);
    degree.saturating_mul(degree).saturating_mul(PER_SQUARED_CAPACITY)
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
