//! Typical round trips between parts of the world.
//!
//! ASSUMED: rounded by hand from what large cloud providers publish of their regions, in milliseconds. They are good enough to
//! see what distance does to a protocol, and no measurement. A scenario brings its own with `regions` and `round_trips_ms`.

/// The regions' names.
pub(crate) const NAMES: [&str; 8] =
    ["us-east", "us-west", "eu-west", "eu-central", "asia-east", "asia-southeast", "south-america", "australia"];

/// Round trips in milliseconds.
pub(crate) const ROUND_TRIPS_MS: [[f64; 8]; 8] = [
    [4.0, 65.0, 75.0, 90.0, 160.0, 220.0, 120.0, 200.0],
    [65.0, 4.0, 135.0, 150.0, 105.0, 170.0, 175.0, 140.0],
    [75.0, 135.0, 4.0, 25.0, 220.0, 170.0, 185.0, 260.0],
    [90.0, 150.0, 25.0, 4.0, 225.0, 160.0, 205.0, 270.0],
    [160.0, 105.0, 220.0, 225.0, 4.0, 70.0, 260.0, 110.0],
    [220.0, 170.0, 170.0, 160.0, 70.0, 4.0, 320.0, 95.0],
    [120.0, 175.0, 185.0, 205.0, 260.0, 320.0, 4.0, 310.0],
    [200.0, 140.0, 260.0, 270.0, 110.0, 95.0, 310.0, 4.0],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_takes_as_long() {
        for (from, row) in ROUND_TRIPS_MS.iter().enumerate() {
            for (to, time) in row.iter().enumerate() {
                assert!(*time > 0.0 && *time == ROUND_TRIPS_MS[to][from], "{} to {}", NAMES[from], NAMES[to]);
            }
        }
    }
}
