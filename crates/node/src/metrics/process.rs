//! The process itself, under the names that Prometheus' client libraries use.

use metrics::gauge;

/// Reads `/proc`; where there is none, nothing is told.
#[expect(clippy::cast_precision_loss, reason = "gauges need no precision")]
pub(super) fn measure() {
    if let Some(bytes) = resident() {
        gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(open.count() as f64);
    }
    if let Some(seconds) = cpu() {
        gauge!("process_cpu_seconds").set(seconds);
    }
}

/// A line such as `VmRSS:     12345 kB`.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// User and system time, fields 14 and 15 of `/proc/self/stat`, in hundredths of a second on every Linux.
fn cpu() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ').skip(11);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}
