//! What sketches cost, known before anything is done.
//!
//! One unit is about one multiplication in the field, as encoding does them: less than a nanosecond with carry-less
//! multiplication, some nanoseconds without. The figures depend on sizes only, so both sides get the same, and they are
//! bounds: what a hostile peer sends does not make decoding dearer. All saturate.

/// What takes one element in, whatever the capacity: its short id, its first powers, its lookup among the found.
const PER_ELEMENT: u64 = 8;

/// What decoding takes at most, for each of the capacity and for each of its square: fitted to what was measured with one
/// product an instruction. Sketches built to be factored slowly take a fifth more than random ones, and are within it.
const PER_CAPACITY: u64 = 1_000;
const PER_SQUARED_CAPACITY: u64 = 48;

/// The units of encoding `elements` at `capacity`: what the requester pays.
pub fn encode_work(elements: usize, capacity: usize) -> u64 {
    as_u64(elements).saturating_mul(as_u64(capacity).saturating_add(PER_ELEMENT))
}

/// The units of encoding `elements` at `capacity`, and of decoding among them: what the provider pays.
pub fn work(elements: usize, capacity: usize) -> u64 {
    let lookups = as_u64(elements).saturating_mul(PER_ELEMENT);
    let capacity_squared = as_u64(capacity).saturating_mul(as_u64(capacity));
    encode_work(elements, capacity)
        .saturating_add(lookups)
        .saturating_add(as_u64(capacity).saturating_mul(PER_CAPACITY))
        .saturating_add(capacity_squared.saturating_mul(PER_SQUARED_CAPACITY))
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
