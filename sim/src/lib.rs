//! What anti-entropy costs, and whether it converges, before one trusts it: the real engines without a network.
//!
//! - [`reconcile`]: two sets, ours and others' systems on the same sets in the same run.
//! - [`world`]: real engines on a virtual clock. Every frame is encoded, counted, and decoded again at the other end.
//! - [`cpu`]: thread CPU time.
#![forbid(unsafe_code)]

pub mod cpu;
pub mod reconcile;
pub mod world;
