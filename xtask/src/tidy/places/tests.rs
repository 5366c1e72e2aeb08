use super::*;

fn findings(path: &str, text: &str) -> Vec<String> {
    check(&[File { path: path.to_owned(), text: text.to_owned() }]).iter().map(ToString::to_string).collect()
}

#[test]
fn absolute_paths_of_a_machine_are_found() {
    let text = format!("# one\nexport DIR=\"/{}/eve\"\n", "work");
    let found = findings("scripts/x.sh", &text);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("scripts/x.sh:2: error[places]: a path below "), "{found:?}");
    for directory in MACHINE_DIRECTORIES {
        assert_eq!(findings("a.md", &format!("see /{directory}/x")).len(), 1, "{directory}");
    }
}

#[test]
fn other_paths_are_not() {
    for text in ["/var/lib/eve", "data/work/1", "$DIR/work/1", "https://example.com/home/", "{base}/work/", "../root/x"]
    {
        assert_eq!(findings("a.md", text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn registry_hosts_are_found_and_likenesses_are_not() {
    for (name, domain) in REGISTRIES {
        assert_eq!(findings("a.toml", &format!("https://index.{name}.{domain}/simple")).len(), 1, "{name}");
    }
    let host = REGISTRIES[0].0;
    assert_eq!(findings("a.md", &format!("my{host}.io and {host}.iot")), Vec::<String>::new());
}

#[test]
fn lock_files_and_recordings_may() {
    let text = format!("/{}/x", "home");
    for path in ["Cargo.lock", "web/package-lock.json", "crates/a/testdata/b/c.jsonl", "crates/a/src/snapshots/b.snap"]
    {
        assert_eq!(findings(path, &text), Vec::<String>::new(), "{path}");
    }
    assert_eq!(findings("docs/MyCargo.lock", &text).len(), 1);
}
