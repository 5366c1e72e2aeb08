use super::*;

fn files(list: &[(&str, &str)]) -> Files {
    list.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn differences_say_what_has_to_happen() {
    let committed = files(&[("a", "1"), ("b", "1"), ("d", "1")]);
    let generated = files(&[("a", "1"), ("b", "2"), ("c", "1")]);
    let found: Vec<_> = differences(&committed, &generated).into_iter().collect();
    assert_eq!(found, [("b", Difference::Stale), ("c", Difference::Missing), ("d", Difference::Left)]);
    assert!(differences(&committed, &committed).is_empty());
}
