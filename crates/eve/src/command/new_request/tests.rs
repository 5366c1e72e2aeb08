use std::time::Duration;

use serde_json::json;

use super::duration;
use super::is_remote;
use super::variable;

#[test]
fn lengths_of_time() {
    assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
    assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
    assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
    for wrong in ["", "0", "-5m", "soon"] {
        assert!(duration(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn variables_are_text_unless_marked_as_json() {
    assert_eq!(variable("a=1=2"), Ok(("a".to_owned(), json!("1=2"))));
    assert_eq!(variable("a:=[1]"), Ok(("a".to_owned(), json!([1]))));
    for wrong in ["a", "=1", "a:={"] {
        assert!(variable(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn addresses_and_paths_of_repositories() {
    for remote in ["https://example.com/a.git", "git@example.com:a/b.git", "host:path", "file:///srv/a.git"] {
        assert!(is_remote(remote), "{remote}");
    }
    for local in [".", "/srv/a.git", "../a:b", "a/b"] {
        assert!(!is_remote(local), "{local}");
    }
}
