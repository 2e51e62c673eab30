//! What Prometheus reads: the engine's, the archive's and the node's own metrics, through the `metrics` facade, and libp2p's.

mod process;
mod table;
mod text;

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use libp2p::gossipsub;
use libp2p::metrics::{Metrics as Libp2p, Recorder, Registry};
use libp2p::swarm::SwarmEvent;
use libp2p::{identify, ping};
use metrics::{counter, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::node::Running;

/// How often histograms have to be folded, so that they do not grow.
pub(crate) const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// All that is measured in this process. There is one, since the facade's recorder is the process's own.
pub struct Metrics {
    facade: PrometheusHandle,
    libp2p: Libp2p,
    events: Registry,
    /// What the swarm counts by itself: the relay's mesh, bytes by transport.
    swarm: Mutex<Registry>,
}

/// Measures from here on; to be called once at the start of a program whose metrics are to be read. Further calls give the same.
pub fn install() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(Metrics::install)
}

/// Bounds of what takes milliseconds to seconds.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Bounds of round trips.
const ROUND_TRIPS: [f64; 6] = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0];

impl Metrics {
    fn install() -> Metrics {
        let builder = PrometheusBuilder::new();
        // Only an empty list of bounds is refused.
        let builder = builder
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Suffix("_round_trips".to_owned()), &ROUND_TRIPS)
            })
            .unwrap_or_default();
        let recorder = builder.build_recorder();
        let facade = recorder.handle();
        // Somebody else's recorder stays; then the facade's part is empty.
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("this process has another recorder of metrics: /metrics shows libp2p's only");
        }
        table::register();
        let mut events = Registry::default();
        let libp2p = Libp2p::new(&mut events);
        Metrics { facade, libp2p, events, swarm: Mutex::default() }
    }

    /// Shows what a swarm counts by itself: that of the process's node, or of the one that was started last.
    pub(crate) fn take_swarm(&self, registry: Registry) {
        *self.swarm.lock().unwrap_or_else(PoisonError::into_inner) = registry;
    }

    /// Counts what the swarm tells.
    pub(crate) fn record_swarm<T>(&self, event: &SwarmEvent<T>) {
        self.libp2p.record(event);
    }

    /// Counts what gossipsub tells.
    pub(crate) fn record_gossipsub(&self, event: &gossipsub::Event) {
        self.libp2p.record(event);
    }

    /// Counts what identify tells.
    pub(crate) fn record_identify(&self, event: &identify::Event) {
        self.libp2p.record(event);
    }

    /// Counts what ping tells.
    pub(crate) fn record_ping(&self, event: &ping::Event) {
        self.libp2p.record(event);
    }

    /// Folds histograms.
    pub(crate) fn upkeep(&self) {
        self.facade.run_upkeep();
    }

    /// Everything, in Prometheus' text format.
    pub fn render(&self, node: &Running) -> String {
        measure(node);
        process::measure();
        let mut out = self.facade.render();
        let swarm = self.swarm.lock().unwrap_or_else(PoisonError::into_inner);
        for registry in [&self.events, &*swarm] {
            let mut libp2p = String::new();
            // Writing into memory does not fail.
            if prometheus_client::encoding::text::encode(&mut libp2p, registry).is_ok() {
                text::append(&mut out, &libp2p);
            }
        }
        out
    }
}

/// What is counted elsewhere and only told when somebody asks.
#[expect(clippy::cast_precision_loss, reason = "gauges need no precision")]
fn measure(node: &Running) {
    let (live, sync) = (node.live(), node.sync().status());
    let received = [("stored", live.stored), ("refused", live.refused), ("lost", live.lost)];
    counter!("hearken_live_received_total").absolute(live.received);
    for (outcome, count) in received {
        counter!("hearken_live_messages_total", "outcome" => outcome).absolute(count);
    }
    let bytes = sync.bytes;
    let sent =
        [("ihave", bytes.ihave), ("request", bytes.request), ("answer", bytes.answer), ("payload", bytes.payload)];
    for (kind, bytes) in sent {
        counter!("hearken_sync_sent_bytes_total", "kind" => kind).absolute(bytes);
    }
    for (stage, spent) in node.work() {
        gauge!("hearken_work_seconds", "stage" => stage.name()).set(spent.as_secs_f64());
    }
    counter!("hearken_repaired_total").absolute(sync.repaired);
    counter!("hearken_sync_dropped_total").absolute(sync.dropped);
    gauge!("hearken_peers").set(node.neighbours().len() as f64);
    gauge!("hearken_sync_streams").set(sync.streams as f64);
    gauge!("hearken_uptime_seconds").set(node.started().elapsed().as_secs_f64());
}
