use proptest::prelude::*;

use super::*;

#[test]
fn what_is_named_comes_first_and_the_rest_keeps_its_order() {
    assert_eq!(reference_order(&[]), Ok(vec![]));
    assert_eq!(reference_order(&[vec![], vec![], vec![]]), Ok(vec![0, 1, 2]));
    assert_eq!(reference_order(&[vec![2], vec![], vec![1], vec![0, 2]]), Ok(vec![1, 2, 0, 3]));
    // Named twice is named once.
    assert_eq!(reference_order(&[vec![1, 1], vec![]]), Ok(vec![1, 0]));
}

#[test]
fn circles_are_named_and_what_only_leads_into_one_is_not_part_of_it() {
    assert_eq!(reference_order(&[vec![0]]), Err(Cycle(vec![0, 0])));
    assert_eq!(reference_order(&[vec![1], vec![2], vec![0]]), Err(Cycle(vec![0, 1, 2, 0])));
    assert_eq!(reference_order(&[vec![1], vec![2], vec![3], vec![1], vec![]]), Err(Cycle(vec![1, 2, 3, 1])));
}

#[test]
fn a_reference_is_an_id_or_a_name() {
    for text in ["ref:lint", "ref:", "ref:req_x", "req_01h455vb4pex5vsknk084sn02q"] {
        assert_eq!(text.parse::<Reference>().map(|reference| reference.to_string()).as_deref(), Ok(text));
    }
    assert!("lint".parse::<Reference>().is_err());
    assert!("att_01h455vb4pex5vsknk084sn02q".parse::<Reference>().is_err());
}

proptest! {
    #[test]
    fn an_order_or_a_circle(named in prop::collection::vec(prop::collection::vec(0_usize..12, 0..4), 0..12)) {
        match reference_order(&named) {
            Ok(order) => {
                let mut sorted = order.clone();
                sorted.sort_unstable();
                prop_assert_eq!(sorted, (0..named.len()).collect::<Vec<_>>());
                let place = |index: usize| order.iter().position(|other| *other == index);
                for (index, names) in named.iter().enumerate() {
                    for name in names.iter().filter(|name| **name < named.len()) {
                        prop_assert!(place(*name) < place(index));
                    }
                }
            }
            Err(Cycle(cycle)) => {
                prop_assert!(cycle.len() > 1);
                prop_assert_eq!(cycle.first(), cycle.last());
                for pair in cycle.windows(2) {
                    prop_assert!(named[pair[0]].contains(&pair[1]));
                }
            }
        }
    }
}
