//! The committed description of the API is the one that the code gives.

use std::collections::BTreeSet;
use std::path::Path;

use crate::authentication::operations;

/// Where the description is kept.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/v1.json");

#[test]
fn the_committed_description_is_current() {
    let generated = eve_server::openapi_json();
    if std::env::var_os("EVE_UPDATE_OPENAPI").is_some() {
        std::fs::create_dir_all(Path::new(FILE).parent().unwrap()).unwrap();
        std::fs::write(FILE, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(FILE).unwrap_or_default();
    let differs = committed.lines().zip(generated.lines()).position(|(old, new)| old != new);
    assert!(
        committed == generated,
        "openapi/v1.json is not what the code says (first difference: line {:?}). If the change is meant, run \
         `cargo xtask openapi`, or this test with EVE_UPDATE_OPENAPI=1, and commit the file.",
        differs.map(|line| line + 1)
    );
}

#[test]
fn every_operation_is_described_in_full() {
    let document: serde_json::Value = serde_json::from_str(&eve_server::openapi_json()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap().to_owned();
        assert!(operation["summary"].is_string(), "{method} {path} has no summary");
        assert!(operation["tags"][0].is_string(), "{method} {path} has no tag");
        let problem = &operation["responses"]["default"]["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(problem, "#/components/schemas/Problem", "{method} {path}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.values().all(|response| response["description"].is_string()), "{method} {path}");
        assert!(names.insert(name), "{method} {path} shares its name");
    }
    let references = document.to_string();
    let references = references.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
    for name in references {
        assert!(document["components"]["schemas"][name].is_object(), "{name} is not described");
    }
}
