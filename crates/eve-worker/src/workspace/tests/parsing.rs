use eve_core::FailureClass;

use super::super::patch::Patch;
use super::super::refname;
use super::super::repository::mask_credentials;
use super::*;

#[track_caller]
fn shown(text: &str, expect: &str) {
    assert_eq!(RepositoryUrl::parse(text).unwrap().to_string(), expect, "{text}");
}

#[track_caller]
fn refused(text: &str) {
    assert!(RepositoryUrl::parse(text).is_err(), "{text:?} was accepted");
}

#[test]
fn addresses_are_shown_without_credentials() {
    shown("/srv/git/app/", "/srv/git/app");
    shown("/srv//git/./app", "/srv/git/app");
    shown("file:///srv/my%20app", "/srv/my app");
    shown("file://localhost/srv/app", "/srv/app");
    shown("https://example.com/o/r.git/", "https://example.com/o/r.git");
    shown("HTTPS://Example.com:8443/O/R", "https://example.com:8443/O/R");
    shown("https://user:s%3Acret@example.com/o/r", "https://***@example.com/o/r");
    shown("https://token@example.com/o/r", "https://***@example.com/o/r");
    shown("https://example.com/o/r?key=secret", "https://example.com/o/r?***");
    shown("ssh://git@example.com:2222/o/r", "ssh://git@example.com:2222/o/r");
    shown("ssh://[::1]:22/o/r", "ssh://[::1]:22/o/r");
    shown("git@example.com:o/r.git", "git@example.com:o/r.git");
    let secret = RepositoryUrl::parse("https://user:secret@example.com/o/r").unwrap();
    assert!(!format!("{secret:?} {:?}", secret.address()).contains("secret"));
}

#[test]
fn what_git_reads_more_into_is_refused() {
    for text in [
        "",
        "-u./evil",
        "--upload-pack=touch x",
        "ext::sh -c touch% x",
        "git@host::x",
        "fd::3",
        "relative/path",
        "./here",
        "host:path",
        "/srv/../etc",
        "file://other-host/srv/app",
        "file:///srv/%00",
        "file:///srv/%0a",
        "ftp://example.com/r",
        "git://example.com/r",
        "https://example.com",
        "https://example.com/",
        "https:///r",
        "https://-x/r",
        "https://a b/r",
        "https://example.com/a b",
        "https://user:a%0ab@example.com/r",
        "https://example.com:port/r",
        "ssh://-oProxyCommand=x/r",
        "ssh://-l@example.com/r",
        "ssh://user:password@example.com/r",
        "git@-host:r",
        "git@example.com:-r",
        "git@example.com:",
        "https://example.com/a\nb",
    ] {
        refused(text);
    }
    refused(&format!("/{}", "a".repeat(5000)));
}

#[test]
fn complaints_lose_their_credentials() {
    let masked = |text: &str| mask_credentials(text);
    assert_eq!(masked("fatal: 'https://me:pw@host/r/' not found"), "fatal: 'https://***@host/r/' not found");
    assert_eq!(masked("https://tok@a/ and http://x:y@b"), "https://***@a/ and http://***@b");
    assert_eq!(masked("ssh://git@host/r, ssh://u:p@host/r"), "ssh://git@host/r, ssh://***@host/r");
    assert_eq!(masked("https://host/a@b, https://é@ü/"), "https://host/a@b, https://***@ü/");
    assert_eq!(masked("nothing here :// or there"), "nothing here :// or there");
}

#[test]
fn names_of_branches() {
    for name in ["main", "feature/req-1-x", "v1.0", "a@b", "1.2.x", "größe"] {
        assert_eq!(refname::check(name), Ok(()), "{name}");
    }
    for name in [
        "", "-x", "a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "@", "@{u}", "a@{1}", "/a", "a/",
        "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a.", "a\tb", "a\0",
    ] {
        assert!(refname::check(name).is_err(), "{name:?} was accepted");
    }
    assert!(refname::collide("feature", "feature/x") && refname::collide("feature/x", "feature"));
    assert!(!refname::collide("feature", "feature-x") && !refname::collide("a/b", "a/c"));
}

#[test]
fn a_full_disk_is_not_the_repositorys_fault() {
    let failed =
        |message: &str| GitError::Failed { operation: "fetch".into(), code: Some(128), message: message.into() };
    let fetch = |message| WorkspaceError::Fetch { repository: "r".to_owned(), source: failed(message) }.class();
    assert_eq!(fetch("error: file write error: No space left on device"), FailureClass::DiskFull);
    assert_eq!(fetch("fatal: unable to write: Disk quota exceeded"), FailureClass::DiskFull);
    assert_eq!(fetch("fatal: Authentication failed"), FailureClass::RepositoryUnavailable);
    let collect = WorkspaceError::Collect { source: failed("No space left on device") };
    assert_eq!(collect.class(), FailureClass::DiskFull);
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    assert_eq!(WorkspaceError::io("writing", "/x")(full).class(), FailureClass::DiskFull);
}

#[test]
fn a_patch_is_cut_between_files() {
    let one = "diff --git a/1 b/1\n@@ -1 +1 @@\n-a\n+b\n";
    let two = "diff --git a/2 b/2\n@@ -1 +1 @@\n-a\n+b\n";
    let cut = |limit: usize| {
        let mut patch = Patch::new(limit);
        for chunk in format!("{one}{two}").as_bytes().chunks(7) {
            patch.push(chunk);
        }
        patch.finish()
    };
    assert_eq!(cut(1000), format!("{one}{two}"));
    assert_eq!(cut(one.len() + two.len()), format!("{one}{two}"));
    assert_eq!(cut(one.len() + 20), format!("{one}[cut: 37 of 74 bytes are shown; the branch holds everything]\n"));
    assert_eq!(cut(25), "diff --git a/1 b/1\n[cut: 19 of 74 bytes are shown; the branch holds everything]\n");
    assert_eq!(cut(3), "[cut: 0 of 74 bytes are shown; the branch holds everything]\n");
}
