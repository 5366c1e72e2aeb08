//! Which crate may use which: the layers of the product, held as data.
//!
//! A new edge is a line in this table, and is reviewed as a change of the architecture.

use super::Finding;
use crate::workspace::Crate;

const CHECK: &str = "edges";

/// What a crate may use of the workspace.
#[derive(Debug, Clone, Copy)]
enum May {
    /// These, and no others.
    Use(&'static [&'static str]),
    /// Every crate of the product.
    UseProduct,
}

const EDGES: &[(&str, May)] = &[
    ("eve-core", May::Use(&[])),
    ("eve-crash", May::Use(&[])),
    ("eve-api-types", May::Use(&["eve-core"])),
    ("eve-store", May::Use(&["eve-core", "eve-crash"])),
    ("eve-engine", May::Use(&["eve-core", "eve-crash", "eve-store"])),
    ("eve-worker", May::Use(&["eve-core", "eve-crash", "eve-api-types"])),
    ("eve-server", May::Use(&["eve-core", "eve-api-types", "eve-engine"])),
    ("eve", May::UseProduct),
    ("eve-testkit", May::Use(&["eve-core", "eve-api-types", "eve-store", "eve-engine", "eve-worker", "eve-server"])),
    ("eve-model", May::Use(&["eve-core"])),
    ("eve-torture", May::Use(&["eve-api-types", "eve-core", "eve-crash", "eve-store", "eve-testkit"])),
    ("xtask", May::Use(&["eve-testkit"])),
];

/// Every crate below this directory speaks to one outside service, and may use the same.
const INTEGRATIONS: &str = "integrations/";
const INTEGRATION: May = May::Use(&["eve-core", "eve-engine", "eve-worker", "eve-api-types"]);

/// Only for development, so no part of the product.
const DEVELOPMENT: &[&str] = &["eve-model", "eve-testkit", "eve-torture", "xtask"];

/// Any crate's tests may use this one.
const FOR_TESTS: &str = "eve-testkit";

/// Further edges of tests, with their reasons.
const TEST_EDGES: &[(&str, &str, &str)] =
    &[("eve-server", "eve-store", "its tests run the API over a real database, which the store makes")];

/// Outside crates that would let a layer do what another is for. Tests may use them.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    ("eve-core", &["reqwest", "sqlx", "tokio"], "it decides and does nothing"),
    ("eve-api-types", &["sqlx"], "SQL is the store's"),
    ("eve-server", &["sqlx"], "SQL is the store's"),
    ("eve-worker", &["sqlx"], "a worker never holds a database's credentials"),
];

pub(super) fn check(crates: &[Crate]) -> Vec<Finding> {
    crates.iter().flat_map(|user| check_crate(user, crates)).collect()
}

fn check_crate(user: &Crate, crates: &[Crate]) -> Vec<Finding> {
    let error = |message: String| Finding::error(CHECK, &user.manifest, message);
    let Some(may) = rule(user) else {
        return vec![error(format!("`{}` is not in the table of crates in xtask/src/tidy/edges.rs", user.name))];
    };
    let mut findings = Vec::new();
    for dependency in &user.dependencies {
        let name = dependency.name.as_str();
        if let Some(used) = crates.iter().find(|known| known.name == name) {
            let allowed = allows(may, used) || (dependency.dev && tests_may_use(user, name));
            if !allowed {
                let what = if dependency.dev { "the tests of " } else { "" };
                findings.push(error(format!("{what}`{}` must not use `{name}`; {}", user.name, explain(may))));
            }
        } else if !dependency.dev
            && let Some((_, _, reason)) =
                FORBIDDEN.iter().find(|(layer, outside, _)| *layer == user.name && outside.contains(&name))
        {
            findings.push(error(format!("`{}` must not use `{name}`: {reason}", user.name)));
        }
    }
    findings
}

fn rule(user: &Crate) -> Option<May> {
    if user.manifest.starts_with(INTEGRATIONS) {
        return Some(INTEGRATION);
    }
    EDGES.iter().find(|(name, _)| *name == user.name).map(|(_, may)| *may)
}

fn allows(may: May, used: &Crate) -> bool {
    match may {
        May::Use(names) => names.contains(&used.name.as_str()),
        May::UseProduct => !DEVELOPMENT.contains(&used.name.as_str()),
    }
}

fn tests_may_use(user: &Crate, name: &str) -> bool {
    name == FOR_TESTS || TEST_EDGES.iter().any(|(from, to, _)| *from == user.name && *to == name)
}

fn explain(may: May) -> String {
    match may {
        May::Use([]) => "it may use no crate of the workspace".to_owned(),
        May::Use(names) => format!("it may use {}", names.join(", ")),
        May::UseProduct => format!("{} are for development", DEVELOPMENT.join(", ")),
    }
}

#[cfg(test)]
mod tests;
