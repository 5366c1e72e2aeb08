use super::*;

const LOCK: &str = "\
version = 4

[[package]]
name = 'ring'
version = '0.17.14'

[[package]]
name = 'string'
version = '0.1.0'
dependencies = ['rsa']
";

fn findings(lock: &str, tree: &str) -> Vec<String> {
    let files = [File { path: LOCK_FILE.to_owned(), text: lock.to_owned() }];
    check(&files, |_| Ok(first_path(tree))).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn a_banned_package_that_is_built_is_an_error() {
    let found = findings(LOCK, "ring v0.17.14\nrustls v0.23.1\neve v0.1.0 (/somewhere)\n");
    assert_eq!(
        found,
        [
            "Cargo.lock: error[lock]: `ring` is built: aws-lc-rs is the crypto provider; it comes through ring <- rustls <- eve"
        ]
    );
}

#[test]
fn a_banned_package_that_is_only_locked_is_not() {
    assert_eq!(findings(LOCK, ""), Vec::<String>::new());
}

#[test]
fn other_packages_are_not_even_looked_for() {
    let files = [File { path: LOCK_FILE.to_owned(), text: LOCK.replace("'ring'", "'rung'") }];
    let found = check(&files, |name| panic!("{name} is not locked")).unwrap();
    assert_eq!(found, []);
}

#[test]
fn a_missing_or_damaged_lock_file_is_not_fine() {
    assert_eq!(check(&[], |_| Ok(Vec::new())).unwrap().len(), 1);
    let files = [File { path: LOCK_FILE.to_owned(), text: "[[package".to_owned() }];
    assert!(check(&files, |_| Ok(Vec::new())).is_err());
}
