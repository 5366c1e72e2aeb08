use super::*;

const GOOD: &str = "\
[package]
name = 'eve-new'
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[lints]
workspace = true
";

fn findings(text: &str) -> Vec<String> {
    let path = "crates/eve-new/Cargo.toml".to_owned();
    let krate = Crate { name: "eve-new".to_owned(), manifest: path.clone(), dependencies: Vec::new() };
    let files = [
        File { path: "docs/Cargo.toml".to_owned(), text: "not of the workspace".to_owned() },
        File { path, text: text.to_owned() },
    ];
    check(&[krate], &files).into_iter().map(|finding| finding.message).collect()
}

#[test]
fn a_manifest_that_inherits_is_fine() {
    assert_eq!(findings(GOOD), Vec::<String>::new());
}

#[test]
fn what_is_not_inherited_is_named() {
    assert_eq!(
        findings(&GOOD.replace("version.workspace = true\ned", "version = '1.0.0'\ned")),
        ["[package] needs `version.workspace = true`"]
    );
    assert_eq!(
        findings(&GOOD.replace("publish.workspace = true\n", "")),
        ["[package] needs `publish.workspace = true`"]
    );
    assert_eq!(
        findings(&GOOD.replace("[lints]\nworkspace = true", "[lints]\nworkspace = false")),
        ["needs [lints] with `workspace = true`"]
    );
    assert_eq!(findings("[package").len(), 1);
}
