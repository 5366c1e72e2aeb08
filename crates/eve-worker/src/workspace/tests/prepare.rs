use std::sync::Arc;

use eve_core::FailureClass;

use super::*;

#[tokio::test]
async fn a_checkout_is_private_and_on_its_branch() {
    let host = Host::new();
    let repo = host.user_repository();
    let before = appearance(&repo);
    let prepared = host.prepare(&repo).await;
    assert_eq!(std::fs::read_to_string(prepared.dir.join("a.txt")).unwrap(), "one\n");
    assert_eq!(git(&prepared.dir, &["symbolic-ref", "--short", "HEAD"]), BRANCH);
    assert_eq!(git(&prepared.dir, &["status", "--porcelain"]), "");
    assert_eq!(git(&prepared.dir, &["rev-parse", "main"]), prepared.base_commit.clone().unwrap());
    assert_eq!(git(&prepared.dir, &["remote"]), "");
    assert_eq!(prepared.base_branch.as_deref(), Some("main"));
    assert!(!prepared.dir.join(".git/hooks").exists());
    assert_eq!(appearance(&repo), before);
    assert!(!host.mark().exists());
}

#[tokio::test]
async fn the_base_may_be_a_branch_a_tag_or_a_commit() {
    let host = Host::new();
    let repo = host.user_repository();
    let first = git(&repo, &["rev-parse", "HEAD"]);
    git(&repo, &["tag", "-a", "-m", "tagged", "v1"]);
    git(&repo, &["branch", "feature", "HEAD"]);
    git(&repo, &["commit", "--quiet", "-m", "second"]);
    let second = git(&repo, &["rev-parse", "HEAD"]);
    let address = repo.to_str().unwrap();
    for (base, commit) in [("main", &second), ("refs/heads/main", &second), ("v1", &first), (&first, &first)] {
        let prepared = host.try_prepare(address, Some(base)).await.unwrap();
        assert_eq!(prepared.base_commit.as_ref(), Some(commit), "{base}");
    }
    // A branch whose name cannot stand beside the attempt's own.
    let prepared = host.try_prepare(address, Some("feature")).await.unwrap();
    assert_eq!(prepared.base_commit.as_ref(), Some(&first));
    for missing in ["nowhere", &"0".repeat(40)] {
        let error = host.try_prepare(address, Some(missing)).await.unwrap_err();
        assert!(matches!(error, WorkspaceError::BaseNotFound { .. }), "{error:?}");
        assert_eq!(error.class(), FailureClass::RepositoryUnavailable);
    }
    for odd in ["main~1", "-x", "@{u}", "main^{tree}"] {
        let error = host.try_prepare(address, Some(odd)).await.unwrap_err();
        assert_eq!(error.class(), FailureClass::RepositoryRefused, "{odd}");
    }
    // A detached HEAD that no branch holds.
    git(&repo, &["checkout", "--quiet", "--detach"]);
    git(&repo, &["commit", "--quiet", "--allow-empty", "-m", "third"]);
    let prepared = host.prepare(&repo).await;
    assert_eq!(prepared.base_commit, Some(git(&repo, &["rev-parse", "HEAD"])));
    assert_eq!(prepared.base_branch, None);
    // What the repository dropped is not handed out again.
    let third = prepared.base_commit.unwrap();
    git(&repo, &["checkout", "--quiet", "main"]);
    git(&repo, &["branch", "--quiet", "-D", "feature"]);
    let error = host.try_prepare(address, Some("feature")).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::BaseNotFound { .. }), "{error:?}");
    assert_eq!(third.len(), 40);
}

#[tokio::test]
async fn what_this_worker_may_not_touch_is_refused() {
    let host = Host::with(WorkspaceOptions::default());
    let repo = host.user_repository();
    for address in [repo.to_str().unwrap().to_owned(), format!("file://{}", repo.display())] {
        let error = host.try_prepare(&address, None).await.unwrap_err();
        assert!(matches!(error, WorkspaceError::LocalRefused { .. }), "{error:?}");
        assert_eq!(error.class(), FailureClass::RepositoryRefused);
    }
    let host = Host::new();
    let repo = host.user_repository();
    let prepared = host.prepare(&repo).await;
    let link = host.path("link");
    std::os::unix::fs::symlink(&prepared.dir, &link).unwrap();
    for own in [&prepared.dir, &link] {
        let error = host.try_prepare(own.to_str().unwrap(), None).await.unwrap_err();
        assert!(matches!(error, WorkspaceError::OwnDirectory { .. }), "{error:?}");
    }
    let error = host.try_prepare(host.path("nothing").to_str().unwrap(), None).await.unwrap_err();
    assert_eq!(error.class(), FailureClass::RepositoryUnavailable);
    assert!(error.explain().contains("does not appear to be a git repository"), "{}", error.explain());
    assert_eq!(std::fs::read_dir(host.path("eve/attempts")).unwrap().count(), 1, "a failed one leaves nothing");
}

#[tokio::test]
async fn an_empty_repository_and_none_at_all() {
    let host = Host::new();
    git(host.dir.path(), &["init", "--quiet", "--initial-branch=trunk", "empty"]);
    let repo = host.path("empty");
    let prepared = host.prepare(&repo).await;
    assert_eq!((&prepared.base_commit, &prepared.base_branch), (&None, &None));
    let untouched = host.collect(&prepared).await.unwrap();
    assert_eq!(untouched.delivery, eve_core::Delivery::default());
    assert_eq!(untouched.notes, [CollectNote::NothingChanged]);
    let handed = host.deliver(&repo, "first\n").await;
    assert_eq!(handed.branch, BRANCH);
    assert_eq!(git(&repo, &["show", &format!("{BRANCH}:a.txt")]), "first");

    let spec = PrepareSpec { attempt: attempt(), repository: None, base_ref: None, branch: BRANCH.to_owned() };
    let prepared = host.workspaces.prepare(spec).await.unwrap();
    std::fs::write(prepared.dir.join("a.txt"), "made up\n").unwrap();
    let delivery = host.collect(&prepared).await.unwrap().delivery;
    assert_eq!((delivery.branch, delivery.files_changed), (None, 1));
    assert!(delivery.commit.is_some() && delivery.patch.unwrap().contains("+made up"));
}

#[tokio::test]
async fn sha256_and_shallow_repositories() {
    let host = Host::new();
    git(host.dir.path(), &["init", "--quiet", "--object-format=sha256", "--initial-branch=main", "modern"]);
    let modern = host.path("modern");
    git(&modern, &["commit", "--quiet", "--allow-empty", "-m", "first"]);
    assert_eq!(host.deliver(&modern, "x\n").await.branch, BRANCH);
    assert_eq!(git(&modern, &["rev-parse", BRANCH]).len(), 64);

    let repo = host.user_repository();
    git(&repo, &["commit", "--quiet", "-m", "second"]);
    let url = format!("file://{}", repo.display());
    git(host.dir.path(), &["clone", "--quiet", "--depth=1", &url, "shallow"]);
    let shallow = host.path("shallow");
    assert_eq!(host.deliver(&shallow, "x\n").await.branch, BRANCH);
    assert_eq!(git(&shallow, &["show", &format!("{BRANCH}:a.txt")]), "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_share_a_mirror() {
    let host = Arc::new(Host::new());
    let repo = host.user_repository();
    let other = Workspaces::new(host.path("eve"), host.workspaces.options.clone()).unwrap();
    let other = Arc::new(other);
    let mut running = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (host, other, repo) = (Arc::clone(&host), Arc::clone(&other), repo.clone());
        running.spawn(async move {
            // Half of them from what could be another process.
            if number % 2 == 0 {
                return host.prepare(&repo).await;
            }
            let repository = Some(RepositoryUrl::parse(repo.to_str().unwrap()).unwrap());
            let spec = PrepareSpec { attempt: attempt(), repository, base_ref: None, branch: BRANCH.to_owned() };
            other.prepare(spec).await.unwrap()
        });
    }
    while let Some(prepared) = running.join_next().await {
        let prepared = prepared.unwrap();
        assert_eq!(std::fs::read_to_string(prepared.dir.join("a.txt")).unwrap(), "one\n");
    }
    assert_eq!(std::fs::read_dir(host.path("eve/mirrors")).unwrap().count(), 2, "a mirror and its lock");
}

#[tokio::test]
async fn the_locks_of_a_killed_git_do_not_last() {
    let host = Host::new();
    let repo = host.user_repository();
    host.prepare(&repo).await;
    git(&repo, &["commit", "--quiet", "-m", "second"]);
    let repository = RepositoryUrl::parse(repo.to_str().unwrap()).unwrap();
    let mirror = host.workspaces.mirrors.dir(&host.workspaces.git, &repository).await.unwrap();
    std::fs::write(mirror.join("refs/heads/main.lock"), "").unwrap();
    std::fs::write(mirror.join("shallow.lock"), "").unwrap();
    let prepared = host.prepare(&repo).await;
    assert_eq!(prepared.base_commit, Some(git(&repo, &["rev-parse", "HEAD"])));
}
