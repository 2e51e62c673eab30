//! What is old enough to be compared, and young enough to be kept.
use std::time::Duration;

use hearken_tree::{Key, KeyRange};
use hearken_wire::Window;

use crate::{Config, GroupConfig};

/// What this node announces and asks about: from the start of its window to its horizon.
pub(crate) fn settled(config: &Config, group: &GroupConfig, unix: u64) -> Window {
    let to = floor(unix.saturating_sub(nanos(config.settle_delay)), nanos(config.horizon_grid));
    let from = floor(to.saturating_sub(nanos(group.window)), nanos(config.horizon_grid));
    let kept = ceiling(group.kept_from, nanos(config.horizon_grid));
    Window { from: from.max(kept).min(to), to }
}

/// What this node can compare and serve: all that its archive keeps, up to a horizon with half a settle delay of slack, so
/// that a slightly slow clock does not lose the youngest span.
pub(crate) fn comparable(config: &Config, group: &GroupConfig, unix: u64) -> Window {
    // Whole seconds, since windows with zeros at the end take fewer bytes.
    let to = floor(unix.saturating_sub(nanos(config.settle_delay) / 2), 1_000_000_000);
    let oldest = settled(config, group, unix).from.saturating_sub(nanos(config.interval_max + config.horizon_grid));
    let retained = floor(unix.saturating_sub(nanos(group.retention)), 1_000_000_000);
    Window { from: oldest.max(retained).max(ceiling(group.kept_from, 1_000_000_000)).min(to), to }
}

/// The part of `range` that lies in `window`.
pub(crate) fn clip(range: &KeyRange, window: &Window) -> Option<KeyRange> {
    range.intersection(&window.keys())
}

/// Whether the window covers the range.
pub(crate) fn covers(window: &Window, range: &KeyRange) -> bool {
    Key::at(window.from) <= range.start() && range.end() <= Key::at(window.to)
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn ceiling(time: u64, grid: u64) -> u64 {
    floor(time.saturating_add(grid.saturating_sub(1)), grid)
}

fn floor(time: u64, grid: u64) -> u64 {
    time - time % grid.max(1)
}
