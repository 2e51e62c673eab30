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

impl CpuMs {
    /// Of both sides.
    pub fn total(&self) -> f64 {
        self.requester + self.provider
    }
}

impl Bytes {
    /// Without the broadcast.
    pub fn unicast(&self) -> u64 {
        self.request + self.answer
    }
}

impl Outcome {
    /// Bytes with the ids of what was found. Ours travel inside the messages; others' answers name them already.
    pub fn bytes_with_ids(&self) -> u64 {
        self.bytes.total + if self.name == "hearken" { 32 * self.found } else { 0 }
    }

    /// Each figure's median over several runs of one system (the higher one in the middle of an even number); exact only if
    /// all were. `None` for no runs.
    pub fn median(runs: &[Outcome]) -> Option<Outcome> {
        let name = runs.first()?.name;
        let bytes = Bytes {
            ihave: middle(runs, |run| run.bytes.ihave)?,
            request: middle(runs, |run| run.bytes.request)?,
            answer: middle(runs, |run| run.bytes.answer)?,
            framing: middle(runs, |run| run.bytes.framing)?,
            total: middle(runs, |run| run.bytes.total)?,
        };
        // CPU times of one run belong together: those of the run with the median sum.
        let mut cpu: Vec<CpuMs> = runs.iter().map(|run| run.cpu_ms).collect();
        cpu.sort_by(|a, b| a.total().total_cmp(&b.total()));
        Some(Outcome {
            name,
            bytes,
            round_trips: middle(runs, |run| run.round_trips)?,
            cpu_ms: *cpu.get(cpu.len() / 2)?,
            found: middle(runs, |run| run.found)?,
            exact: runs.iter().all(|run| run.exact),
        })
    }
}

fn middle(runs: &[Outcome], figure: impl Fn(&Outcome) -> u64) -> Option<u64> {
    let mut figures: Vec<u64> = runs.iter().map(figure).collect();
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_each_figure() {
        let run = |total, round_trips, exact| Outcome {
            name: "x",
            bytes: Bytes { total, ..Bytes::default() },
            round_trips,
            cpu_ms: CpuMs::default(),
            found: 1,
            exact,
        };
        let median = Outcome::median(&[run(5, 1, true), run(9, 3, true), run(7, 2, true)]);
        assert_eq!(median.map(|m| (m.bytes.total, m.round_trips, m.exact)), Some((7, 2, true)));
        assert_eq!(Outcome::median(&[run(5, 1, true), run(9, 3, false)]).map(|m| m.exact), Some(false));
        assert!(Outcome::median(&[]).is_none());
    }
}
