//! The clock that leases are counted on.
//!
//! `CLOCK_BOOTTIME` is the same for all processes of a host, so that worker and keeper can name a point in time to each
//! other, and it goes on while the host sleeps, which the clock of [`std::time::Instant`] does not: a laptop that
//! wakes up finds its leases over. Sleeping is the other clock's business, so a sleeper looks again every second.

use std::ops::Add;
use std::time::Duration;

use nix::time::ClockId;
use nix::time::clock_gettime;

/// Longest time without a look at the clock.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A point in time, in whole milliseconds since the host was started.
///
/// It means the same to every process of the host, and nothing to another host or after the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(u64);

impl BootTime {
    /// Now. On a host without such a clock it is the end of time: every lease is over, and nothing is started.
    pub fn now() -> Self {
        clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Self(u64::MAX), |time| Self(millis(Duration::from(time))))
    }

    /// So many milliseconds after the host was started.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the host was started.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long it is until then; nothing if it has passed.
    pub fn left(self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(Self::now().0))
    }

    /// Whether it is then, or later.
    pub fn has_come(self) -> bool {
        self <= Self::now()
    }

    /// Waits until then, however much of the time the host sleeps.
    pub(crate) async fn come(self) {
        loop {
            let left = self.left();
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK_AGAIN)).await;
        }
    }
}

impl Add<Duration> for BootTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_kernels_and_goes_on() {
        let before = BootTime::now();
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let after = BootTime::now();
        let (seconds, hundredths) = uptime.split(' ').next().unwrap().split_once('.').unwrap();
        let kernel = seconds.parse::<u64>().unwrap() * 1000 + hundredths.parse::<u64>().unwrap() * 10;
        // The kernel says it in hundredths of a second.
        assert!(before.as_millis() <= kernel + 10, "{before:?}, {uptime}");
        assert!(kernel <= after.as_millis(), "{after:?}, {uptime}");
        std::thread::sleep(Duration::from_millis(5));
        assert!(BootTime::now() >= before + Duration::from_millis(5));
    }

    #[test]
    fn a_deadline_comes_and_stays() {
        let now = BootTime::now();
        assert!(now.has_come());
        assert_eq!(now.left(), Duration::ZERO);
        let later = now + Duration::from_secs(60);
        assert!(!later.has_come());
        assert!(later.left() > Duration::from_secs(50) && later.left() <= Duration::from_secs(60));
        assert!(BootTime::from_millis(0).has_come());
        assert!(!BootTime::from_millis(u64::MAX).has_come());
        assert_eq!(now + Duration::MAX, BootTime::from_millis(u64::MAX));
        assert_eq!(BootTime::from_millis(later.as_millis()), later);
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_it_has_come_and_not_before() {
        let deadline = BootTime::now() + Duration::from_millis(30);
        deadline.come().await;
        assert!(deadline.has_come());
        BootTime::from_millis(0).come().await;
    }
}
