//! Named places where a process can be made to die, for tests of what a crash leaves behind.
//!
//! Whatever is promised about crashes is promised for each seam between two steps, and a random kill rarely falls into
//! one that is microseconds wide. So each seam has a name here, the code that passes it says so, and a debug build that
//! finds its name in [`POINT`] kills itself there with SIGKILL: nothing is unwound or flushed, as when the power goes.
//!
//! A release build has none of this. A debug build reads the environment once; from then on, a point that is not armed
//! costs one relaxed load. Which points to arm, and what must hold afterwards, is the torture harness's business.

mod point;

pub use point::Point;
pub use point::Side;

/// The variable that arms a point: its name, and after a colon at which passing it kills, the first if nothing is said.
pub const POINT: &str = "EVE_CRASH_POINT";
/// The variable that names a file to which a process adds a line when it passes a point for the first time
/// (`passed NAME`), and before it kills itself (`killed NAME`).
pub const LOG: &str = "EVE_CRASH_LOG";

/// Says that a point is passed. In a debug build that is armed for it, the process may end here.
#[inline]
pub fn pass(point: Point) {
    #[cfg(debug_assertions)]
    armed::pass(point);
    #[cfg(not(debug_assertions))]
    let _ = point;
}

#[cfg(debug_assertions)]
mod armed {
    use std::fs::File;
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;

    use crate::Point;

    /// Whether there may be anything to do; only ever goes from true to false.
    static WATCHED: AtomicBool = AtomicBool::new(true);
    static PLAN: OnceLock<Plan> = OnceLock::new();

    struct Plan {
        point: Option<Point>,
        /// Passings left before the one that kills.
        left: AtomicU64,
        log: Option<File>,
        passed: [AtomicBool; Point::ALL.len()],
    }

    pub(super) fn pass(point: Point) {
        if WATCHED.load(Ordering::Relaxed) {
            watched(point);
        }
    }

    #[cold]
    fn watched(point: Point) {
        let plan = PLAN.get_or_init(Plan::of_environment);
        if plan.point.is_none() && plan.log.is_none() {
            WATCHED.store(false, Ordering::Relaxed);
            return;
        }
        if let Some(passed) = plan.passed.get(point as usize)
            && !passed.swap(true, Ordering::Relaxed)
        {
            plan.note("passed", point);
        }
        // The one that finds nothing left is the one that kills; those after it wrap around and find plenty.
        if plan.point == Some(point) && plan.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            plan.note("killed", point);
            let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::Signal::SIGKILL);
            // Until the signal arrives, nothing more may happen here.
            loop {
                std::thread::park();
            }
        }
    }

    impl Plan {
        fn of_environment() -> Self {
            let wanted = std::env::var(crate::POINT).ok();
            let (point, nth) = wanted.as_deref().map_or((None, 1), parse);
            let log =
                std::env::var_os(crate::LOG).and_then(|path| File::options().create(true).append(true).open(path).ok());
            Self {
                point,
                left: AtomicU64::new(nth.saturating_sub(1)),
                log,
                passed: [const { AtomicBool::new(false) }; Point::ALL.len()],
            }
        }

        fn note(&self, what: &str, point: Point) {
            if let Some(mut log) = self.log.as_ref() {
                // One write is one line, whoever else writes. A note that cannot be made is missed by its reader.
                let _ = log.write_all(format!("{what} {}\n", point.name()).as_bytes());
            }
        }
    }

    /// A name that nobody knows arms nothing, which whoever armed it notices by the missing death.
    pub(super) fn parse(text: &str) -> (Option<Point>, u64) {
        let (name, nth) = text.split_once(':').unwrap_or((text, "1"));
        (Point::named(name), nth.parse().unwrap_or(1))
    }
}

#[cfg(test)]
mod tests;
