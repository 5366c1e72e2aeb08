use super::*;

fn entry(name: &str, kind: HarnessKind, signed_in: SignedIn) -> HarnessEntry {
    HarnessEntry {
        name: name.into(),
        kind,
        program: PathBuf::from(name),
        version: Some("1.0".into()),
        signed_in,
        settings: HarnessSettings::default(),
    }
}

fn inventory(claude: SignedIn, codex: SignedIn) -> Inventory {
    Inventory {
        entries: vec![
            entry("claude", HarnessKind::ClaudeCode, claude),
            entry("codex", HarnessKind::Codex, codex),
            entry("command", HarnessKind::Command, SignedIn::NotNeeded),
        ],
        missing: vec![Missing { name: "zai".into(), hint: "make it".into() }],
    }
}

#[test]
fn the_best_is_the_first_that_is_signed_in_and_says_why() {
    let all = inventory(SignedIn::No("sign in".into()), SignedIn::Yes("a key".into()));
    let choice = all.choose(None).expect("codex can be taken");
    assert_eq!(choice.entry.name, "codex");
    assert_eq!(
        choice.reason,
        "harness codex 1.0: the best that is installed and signed in (a key); claude is not signed in, zai is not installed"
    );
}

#[test]
fn a_script_runner_is_never_taken_by_itself() {
    let none = inventory(SignedIn::No("sign in".into()), SignedIn::No("log in".into()));
    let error = none.choose(None).expect_err("nothing is signed in");
    assert!(error.message.contains("claude: sign in") && error.message.contains("--harness command"), "{error}");
    assert_eq!(none.choose(Some("command")).map(|choice| choice.entry.name.clone()), Ok("command".into()));
}

#[test]
fn a_named_harness_that_is_not_here_says_what_would_help() {
    let all = inventory(SignedIn::Unknown, SignedIn::Unknown);
    assert!(all.choose(Some("zai")).expect_err("missing").message.contains("make it"));
    assert!(all.choose(Some("unheard-of")).expect_err("unknown").message.contains("claude, codex, command"));
    assert_eq!(all.choose(Some("claude-code")).map(|choice| choice.entry.name.clone()), Ok("claude".into()));
}

#[tokio::test]
async fn signs_of_a_sign_in_are_seen_without_being_read() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().expect("a directory");
    let bin = home.path().join("bin");
    std::fs::create_dir_all(&bin).expect("made");
    for name in ["claude", "codex", "zai"] {
        let path = bin.join(name);
        std::fs::write(&path, "#!/bin/sh\necho 9.9 from $0\n").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
    }
    std::fs::create_dir_all(home.path().join(".codex")).expect("made");
    // Unreadable content: only its presence counts.
    std::fs::write(home.path().join(".codex/auth.json"), [0xff]).expect("written");
    std::fs::create_dir_all(home.path().join(".cc-mirror/zai")).expect("made");
    std::fs::write(home.path().join(".cc-mirror/zai/variant.json"), "{}").expect("written");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let host = HostEnvironment::new([
        ("HOME".to_owned(), text(home.path())),
        ("PATH".to_owned(), format!("{}:/usr/bin:/bin", text(&bin))),
    ]);
    let found = Inventory::discover(&host, &BTreeMap::new()).await;
    let words: Vec<(&str, &str)> =
        found.entries.iter().map(|entry| (entry.name.as_str(), entry.signed_in.word())).collect();
    assert_eq!(words, [("claude", "no"), ("codex", "yes"), ("zai", "yes"), ("command", "not_needed")]);
    assert!(found.entries[0].version.as_deref().is_some_and(|version| version.starts_with("9.9")));
}
