use super::*;

#[test]
fn arguments() {
    let parsed = parse(["--until-ms", "1500", "--stdin", "/in", "--", "prog", "--", "-x"].map(OsString::from).to_vec());
    assert_eq!(
        parsed,
        Some(Job {
            stdin: Some("/in".into()),
            until: Some(BootTime::from_millis(1500)),
            best: Containment::PidNamespace,
            cgroup: None,
            command: vec!["prog".into(), "--".into(), "-x".into()],
        })
    );
    let parsed = parse(["--containment", "cgroup", "--cgroup", "/cg", "--", "prog"].map(OsString::from).to_vec());
    assert_eq!(
        parsed.map(|job| (job.best, job.cgroup, job.until)),
        Some((Containment::Cgroup, Some("/cg".into()), None))
    );
    assert_eq!(parse(["--containment", "jail", "--", "prog"].map(OsString::from).to_vec()), None);
    for wrong in ["soon", "-1", "1.5", "", "99999999999999999999"] {
        assert_eq!(parse(["--until-ms", wrong, "--", "prog"].map(OsString::from).to_vec()), None, "{wrong}");
    }
    assert_eq!(parse(vec!["--".into()]), None);
    assert_eq!(parse(vec!["--unheard-of".into()]), None);
}

#[test]
fn orders_survive_the_pipe() {
    for order in
        [Order::Until(BootTime::from_millis(2500)), Order::Until(BootTime::now()), Order::Terminate, Order::Kill]
    {
        assert_eq!(Order::parse(order.line().trim_end()), Some(order));
        assert!(order.line().len() <= ORDER_LEN);
    }
    assert!(Order::Until(BootTime::from_millis(u64::MAX)).line().len() <= ORDER_LEN);
    for nonsense in ["", "until", "until soon", "until -1", "until 1 2", "extend 2500", "kill me", "KILL"] {
        assert_eq!(Order::parse(nonsense), None, "{nonsense}");
    }
}

#[test]
fn containments_have_names_and_an_order() {
    let all = [Containment::PidNamespace, Containment::Cgroup, Containment::Subreaper];
    assert!(all.is_sorted());
    assert_eq!(all.map(|kind| Containment::named(kind.name())), all.map(Some));
    assert_eq!(Containment::named("jail"), None);
}
