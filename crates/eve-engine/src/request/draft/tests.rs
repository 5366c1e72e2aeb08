use super::*;

#[test]
fn titles_come_from_the_first_line_that_says_something() {
    assert_eq!(derived_title("\n  Add a flag \nand more"), "Add a flag");
    assert_eq!(derived_title("#!/bin/sh\necho hi"), "echo hi");
    let long = derived_title(&"word ".repeat(40));
    assert!(long.ends_with("word…") && long.chars().count() <= limits::DERIVED_TITLE_LEN + 1);
}

#[test]
fn nul_is_found_wherever_it_hides() {
    assert!(has_nul(&serde_json::json!({"a": [{"b": "x\0"}]})));
    assert!(has_nul(&serde_json::json!({"a\0": 1})));
    assert!(!has_nul(&serde_json::json!({"a": [1, null, "x"]})));
}
