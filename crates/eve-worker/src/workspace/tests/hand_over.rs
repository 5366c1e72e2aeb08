use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[tokio::test]
async fn a_second_attempt_takes_the_place_of_the_first() {
    let host = Host::new();
    let repo = host.user_repository();
    let before = appearance(&repo);
    assert_eq!(host.deliver(&repo, "first\n").await.branch, BRANCH);
    assert_eq!(host.deliver(&repo, "second\n").await.branch, BRANCH);
    assert_eq!(git(&repo, &["show", &format!("{BRANCH}:a.txt")]), "second");
    assert_eq!(git(&repo, &["rev-list", "--count", &format!("main..{BRANCH}")]), "1");
    assert_eq!(appearance(&repo), before);
    // By a worker that knows nothing of the first: the commits carry Eve's name.
    let elsewhere = WorkspaceOptions { allow_local: true, ..WorkspaceOptions::default() };
    let other =
        Host { workspaces: Workspaces::new(host.path("eve2"), elsewhere).unwrap(), dir: TempDir::new().unwrap() };
    assert_eq!(other.deliver(&repo, "third\n").await.branch, BRANCH);
    assert_eq!(git(&repo, &["show", &format!("{BRANCH}:a.txt")]), "third");
}

#[tokio::test]
async fn work_of_others_is_never_replaced() {
    let host = Host::new();
    let repo = host.user_repository();
    host.deliver(&repo, "first\n").await;
    // Somebody works on the branch in a worktree of their own.
    let tree = host.path("tree");
    git(&repo, &["worktree", "add", "--quiet", tree.to_str().unwrap(), BRANCH]);
    assert_eq!(host.deliver(&repo, "second\n").await.branch, format!("{BRANCH}-2"));
    assert_eq!(git(&tree, &["status", "--porcelain"]), "");
    git(&tree, &["commit", "--quiet", "--allow-empty", "-m", "mine"]);
    let mine = git(&tree, &["rev-parse", "HEAD"]);
    git(&repo, &["worktree", "remove", tree.to_str().unwrap()]);
    // No longer checked out, but with a commit that is not Eve's.
    assert_eq!(host.deliver(&repo, "third\n").await.branch, format!("{BRANCH}-2"));
    assert_eq!(git(&repo, &["rev-parse", BRANCH]), mine);
    // The user checks the branch out in the main working tree.
    git(&repo, &["stash", "--quiet", "--include-untracked"]);
    git(&repo, &["checkout", "--quiet", &format!("{BRANCH}-2")]);
    let before = appearance(&repo);
    let prepared = host.try_prepare(repo.to_str().unwrap(), Some("main")).await.unwrap();
    std::fs::write(prepared.dir.join("a.txt"), "fourth\n").unwrap();
    let collected = host.collect(&prepared).await.unwrap();
    let handed = host.hand_over(&prepared, &collected.delivery).await;
    assert_eq!(handed.branch, format!("{BRANCH}-3"));
    assert_eq!(appearance(&repo), before);
    // Once more changes nothing.
    let refs = git(&repo, &["for-each-ref"]);
    assert_eq!(host.hand_over(&prepared, &collected.delivery).await, handed);
    assert_eq!(git(&repo, &["for-each-ref"]), refs);
}

#[tokio::test]
async fn a_result_on_top_of_the_branch_moves_it_forward() {
    let host = Host::new();
    let repo = host.user_repository();
    host.deliver(&repo, "first\n").await;
    git(&repo, &["stash", "--quiet", "--include-untracked"]);
    git(&repo, &["checkout", "--quiet", BRANCH]);
    git(&repo, &["commit", "--quiet", "--allow-empty", "-m", "mine"]);
    git(&repo, &["checkout", "--quiet", "main"]);
    let prepared = host.try_prepare(repo.to_str().unwrap(), Some(BRANCH)).await.unwrap();
    std::fs::write(prepared.dir.join("a.txt"), "more\n").unwrap();
    let collected = host.collect(&prepared).await.unwrap();
    assert_eq!(host.hand_over(&prepared, &collected.delivery).await.branch, BRANCH);
    assert_eq!(git(&repo, &["log", "--format=%s", &format!("main..{BRANCH}")]), "Do it\nmine\nDo it");
}

#[tokio::test]
async fn a_branch_called_feature_is_in_nobodys_way() {
    let host = Host::new();
    let repo = host.user_repository();
    git(&repo, &["branch", "feature"]);
    assert_eq!(host.deliver(&repo, "x\n").await.branch, BRANCH.replace('/', "-"));
}

#[tokio::test]
async fn names_run_out() {
    let host = Host::new();
    let repo = host.user_repository();
    for base in [BRANCH.to_owned(), BRANCH.replace('/', "-")] {
        for number in 1..=20 {
            let name = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            let theirs = git(&repo, &["commit-tree", "-p", "HEAD", "-m", &name, "HEAD^{tree}"]);
            git(&repo, &["branch", &name, &theirs]);
        }
    }
    let prepared = host.prepare(&repo).await;
    std::fs::write(prepared.dir.join("a.txt"), "x\n").unwrap();
    let collected = host.collect(&prepared).await.unwrap();
    let error = host.try_hand_over(&prepared, &collected.delivery).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::NoFreeBranch { .. }), "{error:?}");
}

#[tokio::test]
async fn a_bare_repository_takes_results() {
    let host = Host::new();
    let repo = host.user_repository();
    git(host.dir.path(), &["clone", "--quiet", "--bare", "user", "bare.git"]);
    let bare = host.path("bare.git");
    script(&bare.join("hooks/reference-transaction"), &format!("touch '{}'", host.mark().display()));
    assert_eq!(host.deliver(&bare, "x\n").await.branch, BRANCH);
    assert_eq!(git(&bare, &["show", &format!("{BRANCH}:a.txt")]), "x");
    assert_eq!(git(&repo, &["branch", "--list", "feature/*"]), "");
}

#[tokio::test]
async fn the_base_may_be_gone_by_then() {
    let host = Host::new();
    let repo = host.user_repository();
    let prepared = host.prepare(&repo).await;
    std::fs::write(prepared.dir.join("a.txt"), "x\n").unwrap();
    let collected = host.collect(&prepared).await.unwrap();
    git(&repo, &["commit", "--quiet", "--amend", "-m", "another first"]);
    git(&repo, &["reflog", "expire", "--expire=now", "--all"]);
    git(&repo, &["gc", "--quiet", "--prune=now"]);
    host.hand_over(&prepared, &collected.delivery).await;
    git(&repo, &["fsck", "--connectivity-only"]);
    assert_eq!(git(&repo, &["show", &format!("{BRANCH}:a.txt")]), "x");
}

#[tokio::test]
async fn only_a_kept_result_is_handed_over() {
    let host = Host::new();
    let repo = host.user_repository();
    let prepared = host.prepare(&repo).await;
    std::fs::write(prepared.dir.join("a.txt"), "x\n").unwrap();
    let collected = host.collect(&prepared).await.unwrap();
    let repository = prepared.repository.as_ref().unwrap();
    let base = prepared.base_commit.as_deref().unwrap();
    let commit = collected.delivery.commit.as_deref().unwrap();
    for (attempt, commit) in [(prepared.attempt, base), (attempt(), commit), (prepared.attempt, "HEAD")] {
        let error = host.workspaces.hand_over(repository, attempt, BRANCH, commit).await.unwrap_err();
        assert!(matches!(error, WorkspaceError::ResultGone { .. }), "{error:?}");
    }
}

/// Needs root, as in a container; elsewhere there is nothing to give away.
#[tokio::test]
async fn files_in_a_users_repository_are_that_users() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let host = Host::new();
    let repo = host.user_repository();
    std::fs::set_permissions(host.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Command::new("chown").args(["-R", "12345:23456"]).arg(&repo).status().unwrap().success());
    host.deliver(&repo, "first\n").await;
    host.deliver(&repo, "second\n").await;
    let mut dirs = vec![repo];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (12345, 23456), "{}", path.display());
            if metadata.is_dir() {
                dirs.push(path);
            }
        }
    }
}
