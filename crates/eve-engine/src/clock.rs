//! The only place of this crate that asks for the time or for chance.
//!
//! Decisions about leases and retries use the database's clock; this one is for tokens, caches and status lines.

use eve_core::Jitter;
use jiff::Timestamp;

pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

pub(crate) fn instant() -> std::time::Instant {
    std::time::Instant::now()
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The library's generator does not fail once the process runs; a refused key would show it.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        tracing::error!("the random number generator failed");
    }
    bytes
}

/// Every decision takes one and few use it, so it may not cost much; nobody gains by guessing it.
pub(crate) fn jitter() -> Jitter {
    Jitter::from_bits(fastrand::u32(..))
}
