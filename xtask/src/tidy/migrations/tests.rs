use super::*;

fn file(name: &str, text: &str) -> File {
    File { path: format!("{DIRECTORY}{name}"), text: text.to_owned() }
}

fn findings(names: &[&str], released: &[File]) -> Vec<String> {
    let files: Vec<File> = names.iter().map(|name| file(name, "SELECT 1")).collect();
    check(&files, released).iter().map(ToString::to_string).collect()
}

#[test]
fn numbers_have_no_gap() {
    assert_eq!(findings(&["0001_tenancy.sql", "0002_requests.sql"], &[]), Vec::<String>::new());
    let found = findings(&["0001_tenancy.sql", "0003_requests.sql"], &[]);
    assert!(found[0].contains("0003_requests.sql: error[migrations]: expected 0002_"), "{found:?}");
    assert_eq!(findings(&["0001_a.sql", "0001_b.sql"], &[]).len(), 1, "two of one number");
}

#[test]
fn names_say_something() {
    for name in ["0001.sql", "0001_.sql", "1_tenancy.sql", "0001_Tenancy.sql", "0001-tenancy.sql", "0001_tenancy.txt"] {
        assert_eq!(findings(&[name], &[]).len(), 1, "{name}");
    }
}

#[test]
fn what_is_released_stays() {
    let released = [file("0001_tenancy.sql", "SELECT 1"), file("0002_requests.sql", "SELECT 2")];
    let found = findings(&["0001_tenancy.sql", "0002_requests.sql", "0003_more.sql"], &released);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("0002_requests.sql: error[migrations]: is released and must not change"), "{found:?}");
    assert!(findings(&["0001_tenancy.sql"], &released)[0].contains("must not go away"));
}
