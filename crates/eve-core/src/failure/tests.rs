use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn backoff_grows_and_stays_within_its_cap(burned in 1u16.., bits: u32) {
        let now = Timestamp::UNIX_EPOCH;
        let at = RetryPolicy::backoff(burned, now, Jitter::from_bits(bits));
        prop_assert!(at > now);
        prop_assert!(at.duration_since(now) <= RetryPolicy::BACKOFF_CAP);
    }

    #[test]
    fn parking_never_ends_before_the_reset_and_never_lasts_for_ever(seconds in -10_000i64..1_000_000, bits: u32) {
        let now = Timestamp::from_second(1_000_000_000).expect("valid");
        let reset = Timestamp::from_second(1_000_000_000 + seconds).expect("valid");
        let at = RetryPolicy::park(Some(reset), now, Jitter::from_bits(bits));
        prop_assert!(at > now);
        prop_assert!(at >= reset || seconds > 86_400);
        prop_assert!(at.duration_since(now) <= RetryPolicy::PARK_CAP + SignedDuration::from_secs(2));
    }
}

#[test]
fn codes_round_trip() {
    for class in FailureClass::ALL {
        assert_eq!(FailureClass::from_code(class.code()), Some(class));
        assert_eq!(serde_json::to_value(class).expect("serialises"), class.code());
    }
}

#[test]
fn infrastructure_deaths_burn_nothing() {
    for class in [FailureClass::WorkerLost, FailureClass::Drained, FailureClass::DiskFull] {
        assert_eq!(class.disposition(), Disposition::RetryFree);
    }
}
