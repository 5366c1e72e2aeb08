use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use super::*;

/// A stock Debian 12 in a log-in session: v2 and nothing else.
const UNIFIED_MOUNTS: &str = "\
22 28 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
28 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
31 22 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
32 22 0:27 / /sys/fs/pstore rw,nosuid,nodev,noexec,relatime shared:10 - pstore pstore rw
";
const UNIFIED_OWN: &str = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/eve.service\n";

/// systemd's hybrid layout, as in Debian 10.
const HYBRID_MOUNTS: &str = "\
24 17 0:21 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:8 - tmpfs tmpfs ro,mode=755
25 24 0:22 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
26 24 0:23 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:10 - cgroup cgroup rw,xattr,name=systemd
29 24 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:14 - cgroup cgroup rw,cpu,cpuacct
30 24 0:27 / /sys/fs/cgroup/freezer rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,freezer
33 24 0:30 / /sys/fs/cgroup/pids rw,nosuid,nodev,noexec,relatime shared:18 - cgroup cgroup rw,pids
";
const HYBRID_OWN: &str = "\
8:pids:/system.slice/eve.service
6:freezer:/
4:cpu,cpuacct:/system.slice/eve.service
1:name=systemd:/system.slice/eve.service
0::/system.slice/eve.service
";

/// v1 alone, where two controllers share a hierarchy, and one place has a blank in its name.
const V1_MOUNTS: &str = "\
30 25 0:25 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd
34 25 0:29 / /mnt/my\\040groups rw,relatime - cgroup none rw,freezer,pids
";
const V1_OWN: &str = "\
7:freezer,pids:/odd:name
1:name=systemd:/
";

/// Docker on v1: the container sees only its own part, under the host's name for it.
const BOUND_MOUNTS: &str = "\
701 690 0:50 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=755
702 701 0:23 /docker/5f1c /sys/fs/cgroup/systemd ro,nosuid,nodev,noexec,relatime master:9 - cgroup cgroup rw,xattr,name=systemd
705 701 0:27 /docker/5f1c /sys/fs/cgroup/freezer ro,nosuid,nodev,noexec,relatime master:15 - cgroup cgroup rw,freezer
";
const BOUND_OWN: &str = "\
6:freezer:/docker/5f1c
1:name=systemd:/docker/5f1c/inner
";

/// A container with a cgroup namespace: its own cgroup is the root.
const NAMESPACED_MOUNTS: &str = "\
1041 1033 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate,memory_recursiveprot
";

#[test]
fn own_cgroups_are_found_in_every_layout() {
    let found = |mounts, own| {
        let places = places(mounts, own);
        places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        found(UNIFIED_MOUNTS, UNIFIED_OWN),
        ["/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/eve.service"]
    );
    assert_eq!(
        found(HYBRID_MOUNTS, HYBRID_OWN),
        [
            "/sys/fs/cgroup/unified/system.slice/eve.service",
            "/sys/fs/cgroup/freezer",
            "/sys/fs/cgroup/pids/system.slice/eve.service",
            "/sys/fs/cgroup/systemd/system.slice/eve.service",
        ]
    );
    assert_eq!(found(V1_MOUNTS, V1_OWN), ["/mnt/my groups/odd:name", "/sys/fs/cgroup/systemd"]);
    assert_eq!(found(BOUND_MOUNTS, BOUND_OWN), ["/sys/fs/cgroup/freezer", "/sys/fs/cgroup/systemd/inner"]);
    assert_eq!(found(NAMESPACED_MOUNTS, "0::/\n"), ["/sys/fs/cgroup"]);
}

#[test]
fn what_is_not_mounted_is_no_place() {
    let none: [PathBuf; 0] = [];
    assert_eq!(places("", UNIFIED_OWN), none);
    assert_eq!(places(UNIFIED_MOUNTS, ""), none);
    assert_eq!(places(UNIFIED_MOUNTS, "1:name=systemd:/\n"), none);
    // Outside of what the namespace or the mount shows.
    assert_eq!(places(NAMESPACED_MOUNTS, "0::/../other\n"), none);
    assert_eq!(places(BOUND_MOUNTS, "6:freezer:/docker/another\n"), none);
    assert_eq!(places("rubbish\n1 2 3 - cgroup2\n", "rubbish\n0::/\n"), none);
}

#[test]
fn owners_survive_being_a_name() {
    let owner = Owner { namespace: 4_026_531_836, pid: 812, started: 99_120 };
    assert_eq!(owner.to_string(), "eve-4026531836-812-99120");
    assert_eq!(Owner::parse(&owner.to_string()), Some(owner));
    for other in ["", "eve", "eve-1-2", "eve-1-2-3-4", "eve-a-2-3", "eve-up.service", "1-2-3"] {
        assert_eq!(Owner::parse(other), None, "{other}");
    }
}

#[test]
fn status_lines() {
    let line = "812 (a (b) c) S 1 812 812 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 99120 9 9";
    assert_eq!(Stat::parse(line), Some(Stat { pid: 812, dead: false, started: 99_120 }));
    assert_eq!(Stat::parse(&line.replace(") S", ") Z")).map(|stat| stat.dead), Some(true));
    assert_eq!(Stat::parse("812 (short) S 1"), None);
}

#[test]
fn an_owner_is_gone_when_it_is_dead_or_its_number_is_another_process() {
    let this = Owner::this_process().expect("/proc");
    assert!(this.is_alive());
    assert!(!Owner { started: this.started + 1, ..this }.is_alive());

    let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().expect("cat");
    let pid = child.id();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it waits for its input");
    let owner = Owner { pid, started: Stat::parse(&stat).expect("well-formed").started, ..this };
    assert!(owner.is_alive());
    child.kill().expect("ours");
    // Dead, but not collected.
    wait_until(|| !owner.is_alive());
    child.wait().expect("ours");
    assert!(!owner.is_alive());
}

/// A cgroup of the test's own, or nothing, said loudly, where this host has no writable one in the hierarchy.
fn made(place: &Path, name: &str) -> Option<Cgroup> {
    let cgroup = Cgroup::at(place.join(format!("eve-test-{name}-{}", std::process::id())));
    match std::fs::create_dir(&cgroup.dir) {
        Ok(()) => Some(cgroup),
        Err(error) => {
            let place = place.display();
            writeln!(io::stderr(), "NOT TESTED: no cgroup can be made in {place}: {error}").expect("standard error");
            None
        }
    }
}

/// Starts a script in the cgroup. It ignores what it can, and every generation starts its successor and ends.
fn restless(cgroup: &Cgroup, dir: &Path) -> Child {
    let script = dir.join("generation");
    std::fs::write(&script, "#!/bin/sh\ntrap '' TERM HUP\necho . >> \"$1\"\nsetsid \"$0\" \"$1\" &\n")
        .expect("writable");
    let enter = "echo $$ > $0/cgroup.procs || exit 1; trap '' TERM; sh $1 $2; exec sleep 3600";
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(enter).arg(&cgroup.dir).arg(script).arg(dir.join("generations"));
    command.stderr(Stdio::null()).spawn().expect("a shell")
}

fn wait_until(is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "not within 20 seconds");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_forks_without_end_is_killed_in_every_hierarchy() {
    let places = places_of_this_process();
    let made = |index: usize, place: &PathBuf| made(place, &format!("end-{index}"));
    for cgroup in places.iter().enumerate().filter_map(|(index, place)| made(index, place)) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = restless(&cgroup, dir.path());
        let generations = || std::fs::metadata(dir.path().join("generations")).map_or(0, |file| file.len());
        wait_until(|| generations() > 10);
        // Processes may make cgroups, too.
        std::fs::create_dir(cgroup.dir.join("inner")).expect("writable");

        assert!(cgroup.end(Duration::from_secs(20)), "{}", cgroup.dir.display());
        assert!(!cgroup.dir.exists());
        assert_eq!(child.wait().expect("ours").signal(), Some(9));
        let last = generations();
        sleep(Duration::from_millis(200));
        assert_eq!(generations(), last, "something lives on");
        assert!(cgroup.end(Duration::ZERO), "what is gone is no error");
    }
}

#[test]
fn older_kernels_kill_one_by_one_what_is_held_still() {
    for (index, place) in places_of_this_process().iter().enumerate() {
        let Some(cgroup) = made(place, &format!("rounds-{index}")) else { continue };
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = restless(&cgroup, dir.path());
        wait_until(|| dir.path().join("generations").exists());
        wait_until(|| {
            cgroup.kill_one_by_one();
            cgroup.remove()
        });
        assert_eq!(child.wait().expect("ours").signal(), Some(9));
    }
}
