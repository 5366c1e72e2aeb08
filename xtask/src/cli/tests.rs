use super::*;

fn read(line: &str) -> Result<Task, String> {
    parse(line.split_whitespace().map(str::to_owned))
}

#[test]
fn help_is_never_far() {
    for line in ["", "help", "-h", "tidy --help", "bench --help", "bench start -h"] {
        assert_eq!(read(line), Ok(Task::Help), "{line}");
    }
    // The benchmark has a help of its own.
    assert_eq!(read("bench queue --help"), Ok(Task::Bench(Bench::Queue(vec!["--help".to_owned()]))));
}

#[test]
fn tasks_and_their_flags() {
    assert_eq!(read("tidy"), Ok(Task::Tidy));
    assert_eq!(read("sqlx"), Ok(Task::Sqlx(Mode::Write)));
    assert_eq!(read("openapi --check"), Ok(Task::Openapi(Mode::Check)));
    assert_eq!(read("bench size"), Ok(Task::Bench(Bench::Size)));
    assert_eq!(
        read("bench start --runs 3 --data-dir /d"),
        Ok(Task::Bench(Bench::Start { data_dir: Some(PathBuf::from("/d")), runs: 3 }))
    );
    let torture = Task::Torture(vec!["--seed".to_owned(), "7".to_owned(), "--help".to_owned()]);
    assert_eq!(read("torture --seed 7 --help"), Ok(torture), "the harness explains itself");
    let options = peers::Options { peers: Some(PathBuf::from("/p")), rounds: 1, ..peers::Options::default() };
    assert_eq!(read("bench peers --rounds 1 --peers /p"), Ok(Task::Bench(Bench::Peers(options))));
}

#[test]
fn mistakes_are_named() {
    for (line, part) in [
        ("tidi", "no task `tidi`"),
        ("tidy now", "unexpected argument `now`"),
        ("sqlx --chek", "`--chek`"),
        ("bench", "which benchmark"),
        ("bench stop", "no benchmark `stop`"),
        ("bench start --runs 0", "above 0"),
        ("bench peers --rounds x", "above 0"),
        ("bench start --data-dir", "needs a value"),
    ] {
        let message = read(line).unwrap_err();
        assert!(message.contains(part), "{line}: {message}");
    }
}
