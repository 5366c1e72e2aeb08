//! What a run came to that ended without its protocol's last word: one answer for every agent CLI.

use eve_core::FailureClass;
use eve_core::Outcome;

use super::Exit;
use super::text::REMARK_LIMIT;
use super::text::Tail;
use super::text::head;

/// The shell's and `env`'s exit codes for a program that is not there or cannot be run.
const CANNOT_START: std::ops::RangeInclusive<i32> = 126..=127;

/// A failure, with its message cut to size.
pub(super) fn failed(class: FailureClass, message: &str) -> Outcome {
    Outcome::Failed { class, message: head(message, REMARK_LIMIT), retry_at: None }
}

/// How a process ended, in words.
pub(super) fn words(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("ended with exit code {code}"),
        Exit::Signal(signal) => format!("was ended by signal {signal}"),
    }
}

/// The outcome of a run that ended before its last word.
///
/// A CLI that ended by itself before its first event refused to start: it says why on standard error, and would say
/// the same again. Anything later is a crash or a kill, and worth another attempt; `last` is the last trouble that
/// the run reported.
pub(super) fn without_result(began: bool, exit: Exit, stderr: &Tail, last: Option<&str>) -> Outcome {
    let stderr = stderr.text();
    match exit {
        Exit::Code(code) if !began && code != 0 && !stderr.is_empty() => {
            let class =
                if CANNOT_START.contains(&code) { FailureClass::HarnessUnavailable } else { FailureClass::AgentFailed };
            failed(class, &stderr)
        }
        Exit::Code(_) | Exit::Signal(_) => {
            let mut message = format!("the agent {} without a result", words(exit));
            if let Some(last) = last {
                message.push_str("; its last trouble was: ");
                message.push_str(last);
            }
            if !stderr.is_empty() {
                message.push_str("; its last words were:\n");
                message.push_str(&stderr);
            }
            failed(FailureClass::NoResult, &message)
        }
    }
}
