use super::*;

fn lines(path: &str, text: &str) -> Vec<Option<usize>> {
    check(&[File { path: path.to_owned(), text: text.to_owned() }]).into_iter().map(|finding| finding.line).collect()
}

#[test]
fn each_word_is_found_with_its_line() {
    for (head, tail) in BANNED {
        assert_eq!(
            lines("src/a.rs", &format!("fn a() {{\n    // {head}{tail}(me): later\n")),
            [Some(2)],
            "{head}{tail}"
        );
        assert_eq!(lines("src/a.rs", &format!("{head}{tail}()")), [Some(1)], "{head}{tail}");
    }
}

#[test]
fn words_that_contain_them_are_not() {
    let (head, tail) = BANNED[2];
    let letters = format!("mktemp .staging.{head}{tail}{head}; x_{head}{tail}");
    assert_eq!(lines("scripts/a.sh", &letters), []);
    assert_eq!(lines("crates/a/testdata/b.jsonl", &format!("{}{}", BANNED[0].0, BANNED[0].1)), []);
}
