//! A stream of frames: no panic, and what is accepted can be sent on and then reads the same.
#![no_main]

use bytes::BytesMut;
use hearken_wire::{decode_frame, encode_frame, limits::FRAME_MAX};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut stream = BytesMut::from(data);
    while let Ok(Some(frame)) = decode_frame(&mut stream, FRAME_MAX) {
        let mut again = BytesMut::new();
        encode_frame(&frame, &mut again).expect("what was accepted can be sent");
        assert_eq!(decode_frame(&mut again, FRAME_MAX), Ok(Some(frame)));
    }
});
