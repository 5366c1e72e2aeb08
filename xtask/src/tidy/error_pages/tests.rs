use super::*;

const PROBLEMS: &str = "\
impl Other {
    fn name(self) -> &'static str {
        match self {
            Self::Wrong => \"wrong\",
        }
    }
}
impl ProblemCode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => \"not_found\",
            Self::RateLimited => \"rate_limited\",
        }
    }
    const fn title(self) -> &'static str {
        match self {
            Self::NotFound => \"Not found\",
        }
    }
}
";

const FAILURES: &str = "\
impl FailureClass {
    pub const fn code(self) -> &'static str {
        match self {
            Self::RateLimited => \"rate_limited\",
        }
    }
}
";

const COMPLETE: &str = "\
# Errors
## Problems of the API
### `not_found`
### `rate_limited`
## Failures of attempts
### `rate_limited`
";

fn findings(page: &str) -> Vec<String> {
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    let files = [file(KINDS[0].source, PROBLEMS), file(KINDS[1].source, FAILURES), file(PAGE, page)];
    check(&files).iter().map(ToString::to_string).collect()
}

#[test]
fn a_complete_page_is_fine() {
    assert_eq!(findings(COMPLETE), Vec::<String>::new());
}

#[test]
fn each_kind_needs_its_own_section() {
    let found = findings(&COMPLETE.replace("## Failures of attempts\n### `rate_limited`\n", ""));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("\"### `rate_limited`\" below \"## Failures of attempts\""), "{found:?}");
    assert_eq!(findings("").len(), 3);
}

#[test]
fn a_section_without_a_code_is_stale() {
    let found = findings(&COMPLETE.replace("### `not_found`", "### `not_found`\n### `gone`"));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("docs/errors.md:4: error[error-pages]: `gone` is no code"), "{found:?}");
}

#[test]
fn sources_that_cannot_be_read_are_not_silently_fine() {
    assert_eq!(check(&[]).len(), KINDS.len());
}
