use std::os::unix::ffi::OsStrExt;

use eve_core::FailureClass;

use super::*;

/// The names of the files that a commit changed.
fn changed(repo: &Path, from: &str, to: &str) -> Vec<String> {
    git(repo, &["diff", "--name-only", from, to]).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn uncommitted_and_committed_work_is_delivered() {
    let host = Host::new();
    let repo = host.user_repository();
    let before = appearance(&repo);
    let prepared = host.prepare(&repo).await;
    agent(
        &prepared,
        "echo two >>a.txt; git add a.txt; git commit -qm 'my own commit'
         echo three >b.txt; mkdir ignored .eve; echo x >ignored/x; echo prompt >.eve/prompt
         mkdir deep; echo y >deep/y; rm .gitignore; git checkout -q -- .gitignore",
    );
    let collected = host.collect(&prepared).await.unwrap();
    assert_eq!(collected.notes, []);
    let delivery = collected.delivery;
    assert_eq!((delivery.branch.as_deref(), delivery.files_changed), (Some(BRANCH), 3));
    assert_eq!(delivery.base_commit, prepared.base_commit);
    let patch = delivery.patch.as_ref().unwrap();
    assert!(patch.contains("+two\n") && patch.contains("+three\n") && !patch.contains(".eve"), "{patch}");
    let handed = host.hand_over(&prepared, &delivery).await;
    assert_eq!(handed, HandedOver { branch: BRANCH.to_owned(), to: repo.display().to_string() });
    assert_eq!(changed(&repo, "main", BRANCH), ["a.txt", "b.txt", "deep/y"]);
    let log = git(&repo, &["log", "--format=%s by %an %ce", &format!("main..{BRANCH}")]);
    assert_eq!(log, "Do it by Eve eve@localhost\nmy own commit by Eve eve@localhost");
    assert_eq!(appearance(&repo), before);
}

#[tokio::test]
async fn nothing_of_a_trapped_checkout_runs_on_the_clean_side() {
    let host = Host::new();
    let repo = host.user_repository();
    let before = appearance(&repo);
    let prepared = host.prepare(&repo).await;
    let mark = host.mark();
    let run = format!("touch '{}'", mark.display());
    for hook in ["pre-commit", "post-commit", "reference-transaction", "post-index-change", "post-checkout", "pre-push"]
    {
        script(&prepared.dir.join(".git/hooks").join(hook), &run);
    }
    for key in [
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "core.editor",
        "core.alternateRefsCommand",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "gpg.program",
        "uploadpack.packObjectsHook",
        "credential.helper",
    ] {
        git(&prepared.dir, &["config", key, &format!("{run}; cat")]);
    }
    for (key, value) in [
        ("alias.commit", format!("!{run}")),
        ("filter.evil.clean", format!("{run}; cat")),
        ("filter.evil.smudge", format!("{run}; cat")),
        ("commit.gpgSign", "true".to_owned()),
        ("core.hooksPath", prepared.dir.join(".git/hooks").display().to_string()),
        ("core.worktree", "/".to_owned()),
        ("url.ext::sh -c touch.insteadOf", "/".to_owned()),
    ] {
        // Not by git itself, which would already trip over some of it.
        let config = prepared.dir.join(".git/config");
        let (section, name) = key.rsplit_once('.').unwrap();
        let section = section.split_once('.').map_or(section.to_owned(), |(kind, of)| format!("{kind} \"{of}\""));
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{text}[{section}]\n\t{name} = \"{value}\"\n")).unwrap();
    }
    std::fs::write(prepared.dir.join(".gitattributes"), "* filter=evil diff=evil -diff\n").unwrap();
    std::fs::write(prepared.dir.join("a.txt"), "changed\n").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", prepared.dir.join("link")).unwrap();
    std::fs::write(prepared.dir.join(".git/index.lock"), "").unwrap();
    std::fs::write(prepared.dir.join(".git/HEAD.lock"), "").unwrap();
    let collected = host.collect(&prepared).await.unwrap();
    assert_eq!(collected.notes, []);
    assert_eq!(collected.delivery.files_changed, 3);
    let patch = collected.delivery.patch.as_ref().unwrap();
    assert!(patch.contains("+changed"), "the agent's attributes hid a change: {patch}");
    assert!(patch.contains("new file mode 120000"), "{patch}");
    host.hand_over(&prepared, &collected.delivery).await;
    assert_eq!(changed(&repo, "main", BRANCH), [".gitattributes", "a.txt", "link"]);
    assert_eq!(appearance(&repo), before);
}

#[tokio::test]
async fn odd_ends_are_tolerated() {
    use CollectNote::Conflicts;
    use CollectNote::Embedded;
    use CollectNote::NoRepository;
    use CollectNote::NothingChanged;
    use CollectNote::OtherHistory;

    let cases: [(&str, &[CollectNote], u32); 15] = [
        ("true", &[NothingChanged], 0),
        ("git commit -q --allow-empty -m nothing", &[NothingChanged], 0),
        ("echo x >a.txt; git commit -qam x; git revert -n HEAD; git commit -qm back", &[NothingChanged], 0),
        ("git checkout -q main; echo x >a.txt; git commit -qam x; echo y >b.txt", &[], 2),
        ("git checkout -q --detach; echo x >a.txt; git commit -qam x", &[], 1),
        ("git checkout -q --orphan new; echo x >b.txt", &[], 1),
        ("git update-ref -d refs/heads/main; git update-ref -d HEAD; echo x >b.txt", &[], 1),
        ("rm .git/index; echo x >b.txt", &[], 1),
        ("printf broken >.git/index; echo x >b.txt", &[], 1),
        ("rm -rf .git", &[NoRepository], 0),
        ("rm -rf \"$PWD\"", &[NoRepository], 0),
        ("rm -rf .git; echo 'gitdir: /nowhere' >.git", &[NoRepository], 0),
        (
            "rm -rf .git; git init -q; git add .; git -c user.name=a -c user.email=b commit -qm a
             echo x >b.txt",
            &[OtherHistory],
            1,
        ),
        (
            "git checkout -qb x; echo x >a.txt; git commit -qam x
             git checkout -q main; echo y >a.txt; git commit -qam y; git merge x || true",
            &[Conflicts],
            1,
        ),
        (
            "git init -q e1; echo x >e1/x; git init -q e2; echo y >e2/y
             cd e2; git add .; git -c user.name=a -c user.email=b commit -qm y",
            &[Embedded],
            2,
        ),
    ];
    for (commands, notes, files) in cases {
        let host = Host::new();
        let repo = host.user_repository();
        let prepared = host.prepare(&repo).await;
        agent(&prepared, commands);
        let collected = host.collect(&prepared).await.unwrap();
        assert_eq!(collected.notes, notes, "{commands}");
        assert_eq!(collected.delivery.files_changed, files, "{commands}");
        assert_eq!(collected.delivery.branch.is_some(), files > 0, "{commands}");
        if files > 0 {
            host.hand_over(&prepared, &collected.delivery).await;
            assert_eq!(changed(&repo, "main", BRANCH).len(), files as usize, "{commands}");
        }
    }
}

#[tokio::test]
async fn going_back_in_history_delivers_nothing() {
    let host = Host::new();
    let repo = host.user_repository();
    git(&repo, &["commit", "--quiet", "-m", "second"]);
    let prepared = host.prepare(&repo).await;
    agent(&prepared, "git reset -q --hard HEAD~1");
    let collected = host.collect(&prepared).await.unwrap();
    assert_eq!(collected.notes, [CollectNote::Rewound]);
    assert_eq!(collected.delivery.branch, None);
}

#[tokio::test]
async fn names_that_are_not_text_are_kept() {
    let host = Host::new();
    let repo = host.user_repository();
    let prepared = host.prepare(&repo).await;
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9 \"1\"\n.txt");
    std::fs::write(prepared.dir.join(name), b"\xff\xfe text\n").unwrap();
    let collected = host.collect(&prepared).await.unwrap();
    assert_eq!(collected.delivery.files_changed, 1);
    host.hand_over(&prepared, &collected.delivery).await;
    let listed = user_git(&repo, &["ls-tree", "-z", "--name-only", BRANCH]).output().unwrap().stdout;
    assert!(listed.split(|byte| *byte == 0).any(|file| file == name.as_bytes()));
}

#[tokio::test]
async fn a_dangerous_tree_is_refused() {
    for entry in [".git", "..", ".GIT"] {
        let host = Host::new();
        let repo = host.user_repository();
        let prepared = host.prepare(&repo).await;
        // An entry that git itself would not add, in a commit that HEAD names.
        let inner = git(&prepared.dir, &["rev-parse", "HEAD^{tree}"]);
        let id = (0..inner.len()).step_by(2).map(|at| u8::from_str_radix(&inner[at..at + 2], 16).unwrap());
        let tree: Vec<u8> = format!("40000 {entry}\0").into_bytes().into_iter().chain(id).collect();
        let raw = prepared.scratch.join("raw");
        std::fs::write(&raw, tree).unwrap();
        let write = ["hash-object", "-t", "tree", "--literally", "-w", raw.to_str().unwrap()];
        let evil = git(&prepared.dir, &write);
        let commit = git(&prepared.dir, &["commit-tree", "-p", "HEAD", "-m", "evil", &evil]);
        git(&prepared.dir, &["reset", "--quiet", "--soft", &commit]);
        let error = host.collect(&prepared).await.unwrap_err();
        assert!(matches!(error, WorkspaceError::ResultRefused { .. }), "{entry}: {error:?}");
        assert_eq!(error.class(), FailureClass::HandOverFailed);
        assert!(!host.workspaces.result_dir(prepared.attempt).exists());
    }
}

#[tokio::test]
async fn a_result_that_is_no_plain_file_is_not_read() {
    let host = Host::new();
    let repo = host.user_repository();
    let secret = host.path("secret");
    std::fs::write(&secret, "detail a secret\nstate failed\n").unwrap();
    let prepared = host.prepare(&repo).await;
    std::fs::write(prepared.dir.join("a.txt"), "changed\n").unwrap();
    let result = prepared.scratch.join("harvest");
    let place = |name: &str, commands: &str| {
        host.harvest(&prepared);
        let script = format!("rm '{0}/{name}'; {commands} '{0}/{name}'", result.display());
        agent(&prepared, &script);
    };
    for commands in [format!("ln -s '{}'", secret.display()), format!("ln '{}'", secret.display()), "mkfifo".into()] {
        place("status", &commands);
        let collected = host.workspaces.collect(&prepared, CollectLimits::default()).await.unwrap();
        assert!(matches!(collected.notes[..], [CollectNote::NotHarvested { .. }]), "{:?}", collected.notes);
        assert!(!format!("{collected:?}").contains("secret"));
        place("result.bundle", &commands);
        let error = host.workspaces.collect(&prepared, CollectLimits::default()).await.unwrap_err();
        assert!(matches!(error, WorkspaceError::ResultRefused { .. }), "{error:?}");
    }
    // The whole directory somewhere else.
    host.harvest(&prepared);
    agent(&prepared, &format!("mv '{0}' '{0}-'; ln -s '{0}-' '{0}'", result.display()));
    let collected = host.workspaces.collect(&prepared, CollectLimits::default()).await.unwrap();
    assert_eq!(collected.delivery.branch, None);
}

#[tokio::test]
async fn limits_hold_and_lies_are_refused() {
    let host = Host::new();
    let repo = host.user_repository();
    let prepared = host.prepare(&repo).await;
    agent(&prepared, "for n in 1 2 3; do seq 1 2000 >$n.txt; done; head -c 200000 /dev/urandom >noise");
    host.harvest(&prepared);
    let collect = |limits| host.workspaces.collect(&prepared, limits);
    let limits = CollectLimits { bundle_bytes: 100_000, ..CollectLimits::default() };
    let error = collect(limits).await.unwrap_err();
    assert!(error.to_string().contains("more than the limit of 100000"), "{error}");
    let limits = CollectLimits { patch_bytes: 15_000, ..CollectLimits::default() };
    let patch = collect(limits).await.unwrap().delivery.patch.unwrap();
    assert!(patch.len() < 15_200 && patch.contains("b/1.txt") && !patch.contains("b/2.txt"), "{patch}");
    assert!(patch.ends_with("the branch holds everything]\n"), "{patch}");
    // A bundle that promises a commit which is not in it.
    let bundle = prepared.scratch.join("harvest/result.bundle");
    let bytes = std::fs::read(&bundle).unwrap();
    let commit = git(&prepared.dir, &["rev-parse", "refs/eve/result"]);
    let at = bytes.windows(40).position(|window| window == commit.as_bytes()).unwrap();
    let mut lie = bytes.clone();
    lie[at..at + 40].copy_from_slice(b"0123456789012345678901234567890123456789");
    let mut torn = bytes.clone();
    torn.truncate(bytes.len() - 100);
    let missing = [b"# v2 git bundle\n".to_vec(), bytes[bytes.len() / 2..].to_vec()].concat();
    for bytes in [lie, torn, missing, Vec::new()] {
        std::fs::write(&bundle, bytes).unwrap();
        let error = collect(CollectLimits::default()).await.unwrap_err();
        assert!(matches!(error, WorkspaceError::ResultRefused { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_file_that_unpacks_to_much_is_not_shown() {
    let host = Host::new();
    let repo = host.user_repository();
    let prepared = host.prepare(&repo).await;
    // Text, as far as git can tell from its start; small as an object.
    agent(&prepared, "yes | head -c 64M >big");
    let collected = host.collect(&prepared).await.unwrap();
    assert_eq!((&collected.notes[..], collected.delivery.files_changed), (&[][..], 1));
    assert!(collected.delivery.patch.unwrap().contains("Binary files"));
}
