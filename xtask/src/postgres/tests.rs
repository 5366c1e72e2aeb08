use super::*;

#[test]
fn accounts_are_read_from_passwd() {
    let passwd = "root:x:0:0:root:/:/bin/sh\npostgres:x:101:103::/var/lib/postgresql:/bin/bash\n";
    assert_eq!(find_account(passwd, "postgres"), Some(Account { uid: 101, gid: 103 }));
    assert_eq!(find_account(passwd, "post"), None);
    assert_eq!(find_account("broken\n", "broken"), None);
}

#[test]
fn the_newest_version_is_found_by_number() {
    assert!(version("9.6") < version("15") && version("pg-18.6") > version("pg-18.5"));
    let directory = std::env::temp_dir().join(format!("eve-xtask-test-{}", std::process::id()));
    for name in ["9.6", "15", "16-empty"] {
        fs::create_dir_all(directory.join(name).join("bin")).unwrap();
    }
    for name in ["9.6", "15"] {
        fs::write(directory.join(name).join("bin/initdb"), "").unwrap();
    }
    assert_eq!(newest(&directory, "bin"), Some(directory.join("15/bin")));
    assert_eq!(newest(&directory, "lib"), None);
    fs::remove_dir_all(&directory).unwrap();
}
