use proptest::prelude::*;

use super::*;

fn check(title: &str, expected: &str) {
    assert_eq!(slug(title), expected);
}

#[test]
fn slugs() {
    check("Add a --json flag to the list command", "add-a-json-flag-to-the-list-command");
    check("  ../../etc/passwd; rm -rf  ", "etc-passwd-rm-rf");
    check("ÄÖÜ 你好", "");
    check("one, two\nthree", "one-two-three");
}

proptest! {
    #[test]
    fn a_branch_name_is_always_a_valid_ref(title in "\\PC{0,200}", id: u128) {
        let name = branch_name(RequestId::from_uuid(uuid::Uuid::from_u128(id)), &title);
        prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'/'));
        prop_assert!(!name.ends_with('-') && name.len() <= 80);
    }
}
