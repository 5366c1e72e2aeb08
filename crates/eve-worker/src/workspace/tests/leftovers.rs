use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::super::remove::remove_tree;
use super::*;

fn entries(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[tokio::test]
async fn what_no_live_attempt_needs_is_collected() {
    let host = Host::new();
    let repo = host.user_repository();
    let live = host.prepare(&repo).await;
    let dead = host.prepare(&repo).await;
    let done = host.prepare(&repo).await;
    for prepared in [&live, &dead, &done] {
        std::fs::write(prepared.dir.join("a.txt"), "x\n").unwrap();
        host.collect(prepared).await.unwrap();
    }
    host.workspaces.cleanup(done.attempt).await.unwrap();
    host.workspaces.cleanup(done.attempt).await.unwrap();
    assert!(!done.dir.exists());
    // The result outlives its checkout.
    let commit = git(&host.workspaces.result_dir(done.attempt), &["rev-parse", "result"]);
    host.workspaces.hand_over(done.repository.as_ref().unwrap(), done.attempt, BRANCH, &commit).await.unwrap();

    let alive = HashSet::from([live.attempt]);
    let collect = |age| host.workspaces.collect_leftovers(&alive, Duration::from_secs(age));
    assert_eq!(collect(3600).await.unwrap(), Leftovers::default());
    let collected = collect(0).await.unwrap();
    assert_eq!(collected, Leftovers { attempts: 1, results: 2, pins: 2, packed: 0, failures: Vec::new() });
    assert_eq!(collect(0).await.unwrap(), Leftovers::default());
    let mirror = live.borrowed_objects.as_ref().unwrap().parent().unwrap();
    assert_eq!(git(mirror, &["for-each-ref", "--format=%(refname)", "refs/eve"]), format!("refs/eve/{}", live.attempt));
    for name in ["attempts", "results"] {
        assert_eq!(entries(&host.path("eve").join(name)), 1);
    }
    assert_eq!(entries(&host.path("eve/trash")), 0);
    assert_eq!(host.collect(&live).await.unwrap().delivery.files_changed, 1);
}

#[tokio::test]
async fn an_untidy_mirror_is_packed_once_nobody_borrows_from_it() {
    let host = Host::new();
    let repo = host.user_repository();
    let prepared = host.prepare(&repo).await;
    let mirror = prepared.borrowed_objects.as_ref().unwrap().parent().unwrap();
    for number in 0..60 {
        let blob = host.path("blob");
        std::fs::write(&blob, format!("{number}")).unwrap();
        let blob = git(mirror, &["hash-object", "-w", blob.to_str().unwrap()]);
        let list = host.path("list");
        std::fs::write(&list, format!("{blob}\n")).unwrap();
        let mut pack = user_git(mirror, &["pack-objects", "--quiet", "objects/pack/pack"]);
        assert!(pack.stdin(std::fs::File::open(&list).unwrap()).output().unwrap().status.success());
    }
    let collect = async |live: &[AttemptId]| {
        let live = live.iter().copied().collect();
        host.workspaces.collect_leftovers(&live, Duration::ZERO).await.unwrap()
    };
    assert_eq!(collect(&[prepared.attempt]).await.packed, 0, "somebody borrows from it");
    let collected = collect(&[]).await;
    assert_eq!((collected.packed, collected.pins, collected.failures), (1, 1, Vec::new()));
    assert_eq!(collect(&[]).await.packed, 0);
    assert_eq!(host.deliver(&repo, "x\n").await.branch, BRANCH);
}

#[test]
fn removing_survives_what_agents_make() {
    let dir = TempDir::new().unwrap();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("kept"), "").unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("a/b/c")).unwrap();
    std::fs::create_dir_all(tree.join("1.lifted/x")).unwrap();
    std::fs::create_dir_all(tree.join("2.lifted")).unwrap();
    std::fs::write(tree.join("a/b/c/file"), "").unwrap();
    std::fs::write(tree.join("3.lifted"), "").unwrap();
    for link in ["link", "a/link", "a/b/c/link"] {
        std::os::unix::fs::symlink(&outside, tree.join(link)).unwrap();
    }
    for locked in ["a/b/c", "a/b", "a", ""] {
        std::fs::set_permissions(tree.join(locked), std::fs::Permissions::from_mode(0o000)).unwrap();
    }
    remove_tree(&tree).unwrap();
    assert!(!tree.exists() && outside.join("kept").exists());
    assert_eq!(outside.metadata().unwrap().permissions().mode() & 0o777, 0o755);
    // A link in the tree's own place, and nothing at all.
    std::os::unix::fs::symlink(&outside, &tree).unwrap();
    remove_tree(&tree).unwrap();
    assert!(std::fs::symlink_metadata(&tree).is_err() && outside.join("kept").exists());
    remove_tree(&tree).unwrap();
}

#[test]
fn removing_survives_any_depth() {
    let dir = TempDir::new().unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let mut at = std::fs::File::open(&tree).unwrap();
    for _ in 0..5_000 {
        nix::sys::stat::mkdirat(&at, "d", nix::sys::stat::Mode::S_IRWXU).unwrap();
        let flags = nix::fcntl::OFlag::O_DIRECTORY;
        at = nix::fcntl::openat(&at, "d", flags, nix::sys::stat::Mode::empty()).unwrap().into();
    }
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
}
