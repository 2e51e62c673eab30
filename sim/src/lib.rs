//! What anti-entropy costs, and whether it converges, before one trusts it: the real engines without a network.
//!
//! - [`reconcile`]: two sets, ours and others' systems on the same sets in the same run.
//! - [`world`]: real engines on a virtual clock. Every frame is encoded, counted, and decoded again at the other end.
//! - [`scenario`]: a network and what happens in it, as a file.
//! - [`run`]: thousands of real engines on a virtual network, by a scenario; what came of it.
//! - [`real`]: the same scenario on real nodes.
//! - [`cpu`]: thread CPU time.
#![forbid(unsafe_code)]

pub mod cpu;
mod net;
pub mod real;
pub mod reconcile;
mod report;
pub mod run;
pub mod scenario;
pub mod world;
