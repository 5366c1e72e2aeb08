use super::*;

#[test]
fn only_telling_names() {
    for good in ["crates/a/src/lib.rs", "crates/a/tests/it/main.rs", "crates/a/src/model.rs", "docs/common.md"] {
        assert_eq!(complaint(good), None, "{good}");
    }
    for bad in
        ["crates/a/src/b/mod.rs", "crates/a/src/utils.rs", "crates/a/src/helpers/x.rs", "crates/a/tests/common.rs"]
    {
        assert!(complaint(bad).is_some(), "{bad}");
    }
}

#[test]
fn the_file_is_named() {
    let file = File { path: "crates/a/src/misc.rs".to_owned(), text: String::new() };
    let found = check(&[file])[0].to_string();
    assert!(found.starts_with("crates/a/src/misc.rs: error[names]: "), "{found}");
}
