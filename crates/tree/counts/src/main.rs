//! Counts the instructions of the tree's main operations, and fails where a count has grown by more than 5 % over the one
//! that is pinned in `pins.txt`. Unlike times, counts are the same on a busy machine.
//!
//! ```sh
//! cargo run --release -p hearken-tree-counts --features portable               # compare
//! cargo run --release -p hearken-tree-counts --features portable -- --update   # pin what is counted now
//! ```
//!
//! It runs itself under valgrind's callgrind, once for each piece of work. Counted are the instructions of this program
//! alone, those of BLAKE3 apart from all others: what the C library does (copying, allocating) depends on the machine, and
//! so does BLAKE3 unless it is built with the feature `portable`.
mod callgrind;
mod pins;
mod work;

use std::{env, process::ExitCode};

use pins::Pins;

fn main() -> ExitCode {
    let argument = env::args().nth(1);
    if let Some((_, work)) = work::ALL.iter().find(|(name, _)| Some(*name) == argument.as_deref()) {
        work();
        return ExitCode::SUCCESS;
    }
    let done = match argument.as_deref() {
        None => compare(),
        Some("--update") => count_all().and_then(|pins| pins.write()).map(|()| true),
        Some(other) => Err(format!(
            "unknown argument '{other}': none compares the counts with the pinned ones, --update pins them"
        )),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn count_all() -> Result<Pins, String> {
    if !cfg!(feature = "portable") {
        return Err("built without --features portable: the counts would depend on this machine's processor".into());
    }
    let counts = work::ALL.iter().map(|(name, _)| Ok(((*name).to_string(), callgrind::count(name)?)));
    Ok(Pins(counts.collect::<Result<_, String>>()?))
}

/// Whether no count has grown too much.
fn compare() -> Result<bool, String> {
    let (pinned, counted) = (Pins::read()?, count_all()?);
    let (table, fine) = pinned.compare(&counted);
    print!("{table}");
    if !fine {
        eprintln!(
            "Some counts are more than {} % above the pinned ones, or are not pinned. If that has to be, pin them:\n\
             cargo run --release -p hearken-tree-counts --features portable -- --update\n\
             Another compiler may come to other counts: this is {}, and pins.txt says with which one it was written.",
            pins::MOST_GROWTH,
            pins::compiler()
        );
    }
    Ok(fine)
}
