use std::collections::HashSet;

use super::*;

#[test]
fn names_are_distinct_and_lead_back() {
    let names: HashSet<&str> = Point::ALL.iter().map(|point| point.name()).collect();
    assert_eq!(names.len(), Point::ALL.len());
    for point in Point::ALL {
        assert_eq!(Point::named(point.name()), Some(point));
        assert!(point.says().ends_with('.'), "{point:?} has a sentence");
    }
    assert_eq!(Point::named("nowhere"), None);
}

#[test]
fn a_plan_is_a_name_and_a_passing() {
    assert_eq!(armed::parse("claim_committed"), (Some(Point::ClaimCommitted), 1));
    assert_eq!(armed::parse("claim_committed:7"), (Some(Point::ClaimCommitted), 7));
    assert_eq!(armed::parse("nowhere:7"), (None, 7));
    // Whoever passes without a plan goes on.
    for point in Point::ALL {
        pass(point);
    }
}

/// The product's own sources, without this crate.
fn sources(directory: &std::path::Path, found: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_point_is_passed_somewhere_on_its_side() {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for point in Point::ALL {
        let homes: &[&str] = match point.side() {
            Side::Server => &["eve-engine"],
            Side::Migration => &["eve-store"],
            Side::Worker => &["eve-worker"],
        };
        let mut text = String::new();
        homes.iter().for_each(|home| sources(&crates.join(home).join("src"), &mut text));
        assert_eq!(text.matches(&format!("Point::{point:?})")).count(), 1, "{point:?} in {homes:?}");
    }
}
