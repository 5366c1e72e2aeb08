use std::io;

use super::CliError;
use super::ErrorKind;

#[test]
fn exit_codes_are_a_contract() {
    let table: Vec<String> = ErrorKind::ALL.iter().map(|kind| format!("{:>3} {kind:?}", kind.exit_code())).collect();
    insta::assert_snapshot!(table.join("\n"), @"
      1 Failed
      2 Usage
      3 Unreachable
      4 Unauthenticated
      5 NotFound
      6 Conflict
      7 Unsuccessful
      8 StillRunning
      9 NeedsPerson
    130 Interrupted
      0 BrokenPipe
    ");
}

#[test]
fn an_error_shows_heading_numbered_causes_and_hints() {
    let cause = anyhow::anyhow!("connection refused").context("error sending request");
    let error = CliError::caused(ErrorKind::Unreachable, "cannot reach the server", cause)
        .hint("start it with `eve up`")
        .hint("see `eve config explain`");
    insta::assert_snapshot!(error.render("error:", "hint:"), @"
    error: cannot reach the server
    caused by:
      1. error sending request
      2. connection refused
    hint: start it with `eve up`
    hint: see `eve config explain`
    ");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
    assert_eq!(error.kind.exit_code(), 0);
    assert!(error.kind.is_silent());
}
