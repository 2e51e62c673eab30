//! The sums of a sketch: no panic, and what is found has these sums.
#![no_main]

use hearken_sketch::Sketch;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (words, _) = data.as_chunks::<4>();
    let sums = words.iter().take(256).map(|word| u32::from_le_bytes(*word)).collect();
    let sketch = Sketch::from_syndromes(sums);
    if let Ok(found) = sketch.decode(sketch.capacity()) {
        assert_eq!(Sketch::encode(sketch.capacity(), found), sketch);
    }
});
