use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn org(n: u128) -> OrgId {
    OrgId::from_uuid(Uuid::from_u128(n))
}

fn at(n: u128, level: i64) -> Candidate {
    Candidate { org: org(n), level }
}

#[test]
fn urgency_comes_first_and_organizations_take_turns() {
    let mut share = FairShare::default();
    assert_eq!(share.divide(&[at(1, 3), at(2, 3), at(3, 3)], 7, |_| true), [3, 2, 2]);
    // The remainder goes to those who had less.
    assert_eq!(share.divide(&[at(1, 3), at(2, 3), at(3, 3)], 2, |_| true), [0, 1, 1]);
    assert_eq!(share.divide(&[at(1, 1), at(2, 3)], 5, |_| true), [5, 0]);
}

#[test]
fn idling_earns_no_credit() {
    let mut share = FairShare::default();
    share.divide(&[at(1, 3)], 1_000, |_| true);
    assert_eq!(share.divide(&[at(1, 3), at(2, 3)], 10, |_| true), [5, 5]);
    share.divide(&[at(1, 3)], 1_000, |_| true);
    assert_eq!(share.divide(&[at(1, 3), at(2, 3)], 10, |_| true), [5, 5]);
}

#[test]
fn who_has_no_room_is_in_nobodys_way() {
    let mut share = FairShare::default();
    let mut room = 2;
    let grants = share.divide(&[at(1, 1), at(2, 3)], 10, |index| {
        index == 1 || {
            room -= 1;
            room >= 0
        }
    });
    assert_eq!(grants, [2, 8]);
}

#[test]
fn lanes_of_one_organization_take_turns() {
    let mut share = FairShare::default();
    assert_eq!(share.divide(&[at(1, 3), at(1, 3), at(1, 3)], 6, |_| true), [2, 2, 2]);
}

#[test]
fn waiting_makes_urgent() {
    let ageing = Ageing { step: Some(SignedDuration::from_mins(10)) };
    let level = |minutes| ageing.level(Priority::Low, SignedDuration::from_mins(minutes));
    assert_eq!([level(0), level(9), level(10), level(25), level(31), level(9_999)], [4, 4, 3, 2, 1, 1]);
    assert_eq!(Ageing { step: None }.level(Priority::Low, SignedDuration::from_hours(99)), 4);
    assert_eq!(ageing.level(Priority::High, SignedDuration::from_secs(-5)), 2, "clocks may disagree a little");
}

proptest! {
    /// Nothing is granted beyond the slots, none is wasted while somebody has room, and over any history two
    /// organizations that always compete are never more than one slot apart.
    #[test]
    fn shares_are_fair(rounds in prop::collection::vec(0usize..40, 1..50), orgs in 1u128..8) {
        let mut share = FairShare::default();
        let candidates: Vec<Candidate> = (0..orgs).map(|n| at(n, 2)).collect();
        let mut got = vec![0usize; candidates.len()];
        for slots in rounds {
            let grants = share.divide(&candidates, slots, |_| true);
            prop_assert_eq!(grants.iter().sum::<usize>(), slots);
            for (total, grant) in got.iter_mut().zip(grants) {
                *total += grant;
            }
            let (least, most) = (got.iter().min().expect("some"), got.iter().max().expect("some"));
            prop_assert!(most - least <= 1, "{got:?}");
        }
    }

    /// Whatever the rooms, every slot is used as long as some candidate has room.
    #[test]
    fn no_slot_is_wasted(rooms in prop::collection::vec((0u128..4, 1i64..5, 0usize..9), 1..20), slots in 0usize..60) {
        let candidates: Vec<Candidate> = rooms.iter().map(|(org, level, _)| at(*org, *level)).collect();
        let mut left: Vec<usize> = rooms.iter().map(|(.., room)| *room).collect();
        let total: usize = left.iter().sum();
        let grants = FairShare::default().divide(&candidates, slots, |index| {
            let fits = left[index] > 0;
            left[index] = left[index].saturating_sub(1);
            fits
        });
        prop_assert_eq!(grants.iter().sum::<usize>(), total.min(slots));
        for (grant, (.., room)) in grants.iter().zip(&rooms) {
            prop_assert!(grant <= room);
        }
    }
}
