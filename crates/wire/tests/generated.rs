//! The checked-in code is what the schema generates. `UPDATE=1 cargo test -p hearken-wire` writes it anew.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::{env, fs, path::Path};

#[test]
fn generated_code_is_current() {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let protos = crate_root.join("../../proto");
    let checked_in = crate_root.join("src/generated/hearken.v1.rs");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("generated");
    fs::create_dir_all(&out).unwrap();

    let schema = protox::compile([protos.join("hearken/v1/sync.proto")], [&protos]).unwrap();
    // Payloads and packed fields stay slices of the frame that they came in.
    prost_build::Config::new().bytes(["."]).out_dir(&out).compile_fds(schema).unwrap();
    let generated = fs::read_to_string(out.join("hearken.v1.rs")).unwrap();

    if env::var_os("UPDATE").is_some() {
        fs::write(&checked_in, &generated).unwrap();
    }
    assert!(
        fs::read_to_string(&checked_in).unwrap_or_default() == generated,
        "{} is not what proto/ generates: run UPDATE=1 cargo test -p hearken-wire",
        checked_in.display()
    );
}
