//! The prompt is a script: no model, no key.
//!
//! A prompt that starts with `#!` is executed as it is, any other is given to bash. Whatever the script prints is
//! passed on line by line; there is no protocol, so the exit code has the last word. A worker type's instructions
//! mean nothing to a script and are left out, and there is no session to resume.
//!
//! Writing the file, the working directory, the environment and the limits on time and output are the supervisor's.

use std::ffi::OsString;
use std::path::PathBuf;

use eve_core::AgentEvent;
use eve_core::FailureClass;
use eve_core::Outcome;
use eve_core::OutputStream;
use eve_core::Usage;
use serde_json::json;

use super::CommandSpec;
use super::Decoder;
use super::Exit;
use super::Finish;
use super::HarnessSpec;
use super::SpecFile;
use super::ending;
use super::text::TEXT_LIMIT;
use super::text::Tail;
use super::text::head;
use super::text::summary;

/// The script's name in the scratch directory.
const SCRIPT: &str = "script";
const BASH: &str = "/bin/bash";
/// How much of the end of standard output becomes the request's output.
const OUTPUT_LIMIT: usize = 64 * 1024;

pub(super) fn command(spec: &HarnessSpec) -> CommandSpec {
    let path = spec.scratch.join(SCRIPT);
    let (program, args) = if spec.prompt.starts_with("#!") {
        (path.clone(), Vec::new())
    } else {
        (PathBuf::from(BASH), vec![OsString::from(&path)])
    };
    let script = SpecFile { path, content: spec.prompt.clone(), executable: true };
    CommandSpec { program, args, env: Vec::new(), stdin: None, files: vec![script] }
}

/// Passes a script's output on and remembers the end of it.
#[derive(Debug)]
pub(super) struct CommandDecoder {
    output: Tail,
    summary: String,
    last_stdout: Tail,
    last_stderr: Tail,
}

impl CommandDecoder {
    pub(super) const fn new() -> Self {
        Self {
            output: Tail::new(OUTPUT_LIMIT, usize::MAX),
            summary: String::new(),
            last_stdout: Tail::last_words(),
            last_stderr: Tail::last_words(),
        }
    }

    fn succeeded(&self) -> Outcome {
        let mut output = json!({ "text": self.output.joined(), "exit_code": 0 });
        if self.output.cut_bytes() > 0 {
            output["cut_bytes"] = self.output.cut_bytes().into();
        }
        Outcome::Succeeded { output, summary: self.summary.clone() }
    }

    fn failed(&self, exit: Exit) -> Outcome {
        let mut message = format!("the script {}", ending::words(exit));
        let stderr = self.last_stderr.text();
        let last_words = if stderr.is_empty() { self.last_stdout.text() } else { stderr };
        if !last_words.is_empty() {
            message.push_str(":\n");
            message.push_str(&last_words);
        }
        ending::failed(FailureClass::AgentFailed, &message)
    }
}

impl Decoder for CommandDecoder {
    fn line(&mut self, stream: OutputStream, line: &str) -> Vec<AgentEvent> {
        match stream {
            OutputStream::Stdout => {
                self.output.push(line);
                self.last_stdout.push(line);
                if !line.trim().is_empty() {
                    self.summary = summary(line);
                }
            }
            OutputStream::Stderr => self.last_stderr.push(line),
        }
        vec![AgentEvent::Output { stream, text: head(line, TEXT_LIMIT) }]
    }

    fn finish(&mut self, exit: Exit) -> Finish {
        let outcome = match exit {
            Exit::Code(0) => self.succeeded(),
            Exit::Code(_) | Exit::Signal(_) => self.failed(exit),
        };
        Finish { outcome, usage: Usage::default(), session_id: None }
    }
}
