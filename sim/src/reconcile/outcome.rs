//! What one system cost to reconcile two sets.

use serde::Serialize;

/// Bytes as they would be written to the topic and the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// The broadcast.
    pub ihave: u64,
    /// From the requester to the provider.
    pub request: u64,
    /// From the provider to the requester until it has been told exactly what it lacks.
    pub answer: u64,
    /// What frames the delivered messages; not part of the total.
    pub framing: u64,
    /// Broadcast, requests and answers.
    pub total: u64,
}

/// Thread CPU time of both sides, in milliseconds; building the sets is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CpuMs {
    /// Of the side that lacks messages.
    pub requester: f64,
    /// Of the side that has them.
    pub provider: f64,
}

/// One system's row.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: &'static str,
    /// What it sent.
    pub bytes: Bytes,
    /// From the first request on.
    pub round_trips: u64,
    /// What it computed.
    pub cpu_ms: CpuMs,
    /// How many missing messages it found.
    pub found: u64,
    /// Whether these are exactly the missing ones.
    pub exact: bool,
}
