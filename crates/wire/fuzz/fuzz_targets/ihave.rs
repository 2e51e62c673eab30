//! An IHAVE: no panic, and what is accepted can be sent on and then reads the same.
#![no_main]

use hearken_wire::Ihave;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(ihave) = Ihave::decode(data) {
        let again = ihave.encode().expect("what was accepted can be sent");
        assert_eq!(Ihave::decode(&again), Ok(ihave));
    }
});
