//! What happened, line by line: the same run gives the same lines, to the byte.

use std::io::{self, Write};

use crate::net::{Nanos, NodeId};

/// Takes what happens into a hash, and into a file if there is one.
#[derive(Default)]
pub(crate) struct Trace {
    hash: u64,
    out: Option<Box<dyn Write>>,
    failed: Option<io::Error>,
}

impl Trace {
    pub(crate) fn to(out: Option<Box<dyn Write>>) -> Trace {
        Trace { out, ..Trace::default() }
    }

    /// At `at`, `node` did `what`, with whom or with what, and how much.
    pub(crate) fn record(&mut self, at: Nanos, node: NodeId, what: &'static str, with: u64, many: u64) {
        let name = what.bytes().fold(0, |name: u64, byte| name.wrapping_mul(31).wrapping_add(u64::from(byte)));
        for word in [at, u64::from(node), name, with, many] {
            self.hash = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
        if let Some(out) = &mut self.out
            && let Err(error) =
                writeln!(out, "{{\"at\":{at},\"node\":{node},\"what\":\"{what}\",\"with\":{with},\"many\":{many}}}")
        {
            self.failed = Some(error);
            self.out = None;
        }
    }

    /// The hash of all that happened.
    ///
    /// # Errors
    /// The file could not be written.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.out.as_mut().map_or(Ok(()), Write::flush)?;
        Ok(self.hash)
    }
}
