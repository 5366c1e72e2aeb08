use super::*;

#[test]
fn versions_of_git() {
    assert_eq!(git_version("git version 2.47.3"), Some((2, 47)));
    assert_eq!(git_version("git version 2.39.5 (Apple Git-154)"), Some((2, 39)));
    assert_eq!(git_version("something else"), None);
}

#[test]
fn less_than_a_pid_namespace_is_a_warning_that_says_what_to_do() {
    assert_eq!(contained(Containment::PidNamespace).fix, None);
    for kind in [Containment::Cgroup, Containment::Subreaper] {
        let check = contained(kind);
        assert!(check.detail.starts_with(kind.name()), "{check:?}");
        assert!(check.fix.is_some_and(|fix| fix.contains("user namespaces")), "{kind:?}");
    }
}

#[test]
fn no_agent_is_a_warning_that_says_what_to_do() {
    let checks = agents(&Inventory::default());
    let last = checks.last().expect("the default agent");
    assert_eq!(last.name, "default agent");
    assert!(last.fix.as_deref().is_some_and(|fix| fix.contains("--harness command")));
}
