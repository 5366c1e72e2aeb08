use super::*;
use crate::workspace::Dependency;

/// `name: normal normal (dev)`, with the manifest where it belongs.
fn krate(name: &str, dependencies: &str) -> Crate {
    let dependencies = dependencies
        .split_whitespace()
        .map(|word| Dependency { name: word.trim_matches(['(', ')']).to_owned(), dev: word.starts_with('(') });
    Crate { name: name.to_owned(), manifest: format!("crates/{name}/Cargo.toml"), dependencies: dependencies.collect() }
}

fn findings(name: &str, dependencies: &str) -> Vec<String> {
    let mut crates: Vec<Crate> =
        EDGES.iter().filter(|(known, _)| *known != name).map(|(known, _)| krate(known, "")).collect();
    crates.push(krate(name, dependencies));
    check(&crates).into_iter().map(|finding| finding.to_string()).collect()
}

#[test]
fn the_layers_as_they_are_meant_to_be() {
    for (name, dependencies) in [
        ("eve-core", "serde jiff (eve-testkit) (proptest)"),
        ("eve-engine", "eve-core eve-store tokio"),
        ("eve-server", "eve-core eve-api-types eve-engine axum (eve-testkit) (eve-store) (sqlx)"),
        ("eve", "eve-core eve-store eve-server eve-worker sqlx (eve-testkit)"),
        ("eve-testkit", "eve-core eve-store"),
        ("xtask", "eve-testkit"),
    ] {
        assert_eq!(findings(name, dependencies), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn an_edge_that_is_not_in_the_table_is_named() {
    let found = findings("eve-server", "eve-core eve-store");
    assert_eq!(
        found,
        ["crates/eve-server/Cargo.toml: error[edges]: `eve-server` must not use `eve-store`; it may use eve-core, \
          eve-api-types, eve-engine"]
    );
    assert!(findings("eve-core", "eve-api-types")[0].contains("it may use no crate of the workspace"));
    assert!(findings("eve-worker", "(eve-engine)")[0].contains("the tests of `eve-worker` must not use `eve-engine`"));
}

#[test]
fn the_testkit_is_for_tests_only() {
    assert!(findings("eve", "eve-testkit")[0].contains("are for development"));
    assert!(findings("eve-store", "eve-testkit")[0].contains("must not use `eve-testkit`"));
}

#[test]
fn outside_crates_that_break_a_layer() {
    assert!(findings("eve-server", "sqlx")[0].contains("SQL is the store's"));
    assert!(findings("eve-core", "tokio")[0].contains("decides and does nothing"));
}

#[test]
fn a_new_crate_has_to_be_placed() {
    assert!(findings("eve-extra", "")[0].contains("not in the table"));
    let mut slack = krate("eve-slack", "eve-core eve-engine");
    slack.manifest = "integrations/slack/Cargo.toml".to_owned();
    assert_eq!(check(&[slack.clone(), krate("eve-core", ""), krate("eve-engine", "")]), []);
    slack.dependencies.push(Dependency { name: "eve-store".to_owned(), dev: false });
    assert_eq!(check(&[slack, krate("eve-store", "")]).len(), 1);
}
