//! URLs, by way of an `ssh` that runs its command on this host.

use super::*;

/// A host whose `ssh` leads back to it, and a repository behind it.
fn remote_host() -> (Host, PathBuf, String) {
    let dir = TempDir::new().unwrap();
    let bin = dir.path().join("bin");
    script(&bin.join("ssh"), "for last; do :; done; exec sh -c \"$last\"");
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join(".gitconfig"), "[safe]\n\tdirectory = *\n").unwrap();
    let mut path = bin.into_os_string();
    path.push(":/usr/local/bin:/usr/bin:/bin");
    let options = WorkspaceOptions { path, remote_home: Some(home), ..WorkspaceOptions::default() };
    let workspaces = Workspaces::new(dir.path().join("eve"), options).unwrap();
    let host = Host { dir, workspaces };
    host.user_repository();
    git(host.dir.path(), &["clone", "--quiet", "--bare", "user", "remote.git"]);
    let remote = host.path("remote.git");
    let url = format!("ssh://git@example.com{}", remote.display());
    (host, remote, url)
}

async fn deliver(host: &Host, url: &str, text: &str) -> HandedOver {
    let prepared = host.try_prepare(url, None).await.unwrap();
    std::fs::write(prepared.dir.join("a.txt"), text).unwrap();
    let collected = host.collect(&prepared).await.unwrap();
    host.hand_over(&prepared, &collected.delivery).await
}

#[tokio::test]
async fn results_are_pushed_to_a_url() {
    let (host, remote, url) = remote_host();
    assert_eq!(deliver(&host, &url, "first\n").await, HandedOver { branch: BRANCH.to_owned(), to: url.clone() });
    assert_eq!(git(&remote, &["show", &format!("{BRANCH}:a.txt")]), "first");
    // Replaced, because it is Eve's.
    assert_eq!(deliver(&host, &url, "second\n").await.branch, BRANCH);
    assert_eq!(git(&remote, &["show", &format!("{BRANCH}:a.txt")]), "second");
    // Somebody else's commit arrives between the fetch and the push.
    let prepared = host.try_prepare(&url, None).await.unwrap();
    std::fs::write(prepared.dir.join("a.txt"), "third\n").unwrap();
    let collected = host.collect(&prepared).await.unwrap();
    git(host.dir.path(), &["clone", "--quiet", "--branch", BRANCH, "remote.git", "mine"]);
    git(&host.path("mine"), &["commit", "--quiet", "--allow-empty", "-m", "mine"]);
    git(&host.path("mine"), &["push", "--quiet", "origin", BRANCH]);
    let mine = git(&remote, &["rev-parse", BRANCH]);
    assert_eq!(host.hand_over(&prepared, &collected.delivery).await.branch, format!("{BRANCH}-2"));
    assert_eq!(git(&remote, &["rev-parse", BRANCH]), mine);
    // And once it is known here.
    assert_eq!(deliver(&host, &url, "fourth\n").await.branch, format!("{BRANCH}-2"));
    assert_eq!(git(&remote, &["rev-parse", BRANCH]), mine);
}

#[tokio::test]
async fn a_url_that_does_not_answer_says_so_without_credentials() {
    let host = Host::new();
    // Nothing listens on this port of this host.
    let url = "https://someone:hunter2@127.0.0.1:1/r.git";
    let error = host.try_prepare(url, None).await.unwrap_err();
    assert_eq!(error.class(), eve_core::FailureClass::RepositoryUnavailable);
    let story = format!("{} {error:?}", error.explain());
    assert!(story.contains("https://***@127.0.0.1:1/r.git"), "{story}");
    assert!(!story.contains("hunter2") && !story.contains("someone"), "{story}");
}
