//! The host's clock since its start, which all processes of a host share and nobody sets.

use std::time::Duration;

use nix::time::ClockId;
use nix::time::clock_gettime;

/// Milliseconds since the host was started.
pub(crate) fn now_ms() -> u64 {
    // A host without this clock runs no Eve either.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| millis(Duration::from(time)))
}

/// What to add to milliseconds since 1970 to get milliseconds since the host's start, as of now.
pub(crate) fn wall_offset_ms() -> i64 {
    let wall = jiff::Timestamp::now().as_millisecond();
    i64::try_from(now_ms()).unwrap_or_default() - wall
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
