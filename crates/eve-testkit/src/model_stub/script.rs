//! What the stub says, and how the next thing to say follows from a conversation.

use serde::Deserialize;
use serde::Serialize;

/// What one named model does, from the first request of a conversation to the last.
///
/// As JSON: `{"steps": [{"bash": "make"}, {"status": {"status": 429, "kind": "rate_limit", "times": 2}}, {"text":
/// "Done."}], "usage": {"input_tokens": 1000, "output_tokens": 50}}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// What happens, in order. A conversation that goes on after the last step gets [`Script::OVER`].
    pub steps: Vec<Step>,
    /// What each answer claims to have used.
    #[serde(default)]
    pub usage: TokenUsage,
    /// How long the model thinks before each answer, for demonstrations and for tests of concurrency.
    #[serde(default)]
    pub delay_ms: u64,
}

/// One thing that the model does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Says something and ends its turn: the agent stops, and only a new prompt reaches the next step.
    Text(String),
    /// Runs a shell command through whichever shell tool the agent offers.
    ///
    /// Claude Code refuses a bare `sleep`; `sh -c 'sleep 60; true'` passes. Codex reports a command that runs for more
    /// than 30 seconds as still running, and the script goes on without its end.
    Bash(String),
    /// Writes a file through the agent's own tool for it, or through the shell if it has none.
    Write {
        /// Relative to the agent's working directory, or absolute. Claude Code refuses to overwrite what it has
        /// not read, so this should be a new file.
        path: String,
        /// All of the file.
        content: String,
    },
    /// Answers with an error instead, as often as it says.
    Status(Failure),
    /// Accepts the request and never answers; neither this conversation nor a retry gets past it.
    Hang,
    /// Begins an answer and cuts the connection; the retry gets the next step.
    CutStream,
}

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The HTTP status.
    pub status: u16,
    /// What the body says is wrong.
    pub kind: FailureKind,
    /// Seconds for the `retry-after` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// How many requests of a conversation fail before the next step; none means all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// What an error body says. Each API has its own words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The key is wrong.
    Authentication,
    /// The account has no money left.
    Billing,
    /// The request makes no sense.
    InvalidRequest,
    /// The conversation does not fit into the model.
    PromptTooLong,
    /// Too many requests.
    RateLimit,
    /// The provider is overloaded.
    Overloaded,
    /// The provider is broken.
    Server,
}

/// The tokens that one answer claims to have used, counted as in `eve_core::Usage`: nothing is counted twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenUsage {
    /// Read, without those from a cache.
    pub input_tokens: u64,
    /// Written.
    pub output_tokens: u64,
    /// Read from the prompt cache.
    pub cache_read_tokens: u64,
    /// Written to the prompt cache.
    pub cache_write_tokens: u64,
}

/// The step that a request is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// The step at this place of the script.
    Step(usize, &'a Step),
    /// All steps are done.
    Over,
}

/// How many requests a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fails {
    /// None: it is a turn of the model.
    Never,
    /// That many, and then the next step has its turn.
    Times(u32),
    /// Every one.
    Always,
}

impl Script {
    /// The name of the script that answers paths without a `/r/NAME/` prefix.
    pub const DEFAULT: &'static str = "default";
    /// What the model says when the script has nothing left.
    pub const OVER: &'static str = "The script has no further step.";

    /// A script with the default usage and no delay.
    pub fn new(steps: impl Into<Vec<Step>>) -> Self {
        Self { steps: steps.into(), ..Self::default() }
    }

    /// The same, claiming this usage for every answer.
    #[must_use]
    pub fn with_usage(mut self, usage: TokenUsage) -> Self {
        self.usage = usage;
        self
    }

    /// The same, thinking this long before every answer.
    #[must_use]
    pub fn with_delay_ms(mut self, delay_ms: u64) -> Self {
        self.delay_ms = delay_ms;
        self
    }

    /// The step for a conversation in which the model has taken `turns` turns, when `failed` requests at just this
    /// point have been answered with failures already.
    ///
    /// Only steps that the agent keeps in its conversation are counted as turns. A failure leaves no trace there,
    /// which is why failures between two turns are told apart by the number of requests that have met one.
    pub(super) fn next(&self, turns: usize, failed: u32) -> Next<'_> {
        let mut turns_left = turns;
        let mut failed_left = failed;
        for (place, step) in self.steps.iter().enumerate() {
            match step.fails() {
                Fails::Never if turns_left == 0 => return Next::Step(place, step),
                Fails::Never => turns_left -= 1,
                _ if turns_left > 0 => {}
                Fails::Times(times) if failed_left >= times => failed_left -= times,
                Fails::Times(_) | Fails::Always => return Next::Step(place, step),
            }
        }
        Next::Over
    }
}

impl Step {
    /// How many requests this step fails.
    pub(super) const fn fails(&self) -> Fails {
        match self {
            Self::Text(_) | Self::Bash(_) | Self::Write { .. } => Fails::Never,
            Self::Status(Failure { times: Some(times), .. }) => Fails::Times(*times),
            Self::Status(Failure { times: None, .. }) | Self::Hang => Fails::Always,
            Self::CutStream => Fails::Times(1),
        }
    }

    /// A write step.
    pub fn write(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self::Write { path: path.into(), content: content.into() }
    }
}

impl Failure {
    /// 401: the key is wrong, for ever.
    pub const fn unauthorized() -> Self {
        Self::new(401, FailureKind::Authentication)
    }

    /// 403: no money, for ever.
    pub const fn billing() -> Self {
        Self::new(403, FailureKind::Billing)
    }

    /// 400: the prompt is too long, for ever.
    pub const fn prompt_too_long() -> Self {
        Self::new(400, FailureKind::PromptTooLong)
    }

    /// 429 with `retry-after` in seconds, for ever.
    pub const fn rate_limited(retry_after: u32) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(429, FailureKind::RateLimit) }
    }

    /// 529: overloaded, for ever.
    pub const fn overloaded() -> Self {
        Self::new(529, FailureKind::Overloaded)
    }

    /// 500: broken, for ever.
    pub const fn server() -> Self {
        Self::new(500, FailureKind::Server)
    }

    /// Any status with any body, for ever.
    pub const fn new(status: u16, kind: FailureKind) -> Self {
        Self { status, kind, retry_after: None, times: None }
    }

    /// The same, but only for that many requests of a conversation.
    #[must_use]
    pub const fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }
}

impl TokenUsage {
    /// No tokens at all: what requests that belong to no step are billed.
    pub const NONE: Self = Self { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0 };
}

impl Default for TokenUsage {
    fn default() -> Self {
        Self { input_tokens: 1_000, output_tokens: 50, ..Self::NONE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(script: &Script, turns: usize, failed: u32) -> Option<usize> {
        match script.next(turns, failed) {
            Next::Step(place, _) => Some(place),
            Next::Over => None,
        }
    }

    #[test]
    fn turns_of_the_conversation_choose_the_step() {
        let script = Script::new([Step::Bash("a".into()), Step::write("b", ""), Step::Text("c".into())]);
        assert_eq!((0..4).map(|turns| place(&script, turns, 0)).collect::<Vec<_>>(), [Some(0), Some(1), Some(2), None]);
    }

    #[test]
    fn failures_are_spent_by_requests_at_the_same_turn() {
        let script = Script::new([
            Step::Status(Failure::rate_limited(1).times(2)),
            Step::CutStream,
            Step::Bash("a".into()),
            Step::Status(Failure::overloaded().times(1)),
            Step::Text("b".into()),
        ]);
        assert_eq!(
            (0..4).map(|failed| place(&script, 0, failed)).collect::<Vec<_>>(),
            [Some(0), Some(0), Some(1), Some(2)]
        );
        assert_eq!((0..2).map(|failed| place(&script, 1, failed)).collect::<Vec<_>>(), [Some(3), Some(4)]);
        assert_eq!(place(&script, 2, 0), None);
    }

    #[test]
    fn endless_failures_are_never_passed() {
        for step in [Step::Hang, Step::Status(Failure::unauthorized())] {
            let script = Script::new([step, Step::Text("unreachable".into())]);
            assert_eq!(place(&script, 0, u32::MAX), Some(0));
        }
    }

    #[test]
    fn a_failure_that_never_fails_is_skipped() {
        let script = Script::new([Step::Status(Failure::server().times(0)), Step::Text("a".into())]);
        assert_eq!(place(&script, 0, 0), Some(1));
    }

    #[test]
    fn scripts_are_written_as_json() {
        let json = r#"{
            "steps": [
                {"write": {"path": "a.txt", "content": "a"}},
                {"status": {"status": 429, "kind": "rate_limit", "retry_after": 1, "times": 2}},
                "hang",
                "cut_stream",
                {"bash": "true"},
                {"text": "Done."}
            ],
            "usage": {"output_tokens": 7}
        }"#;
        let script: Script = serde_json::from_str(json).expect("a script");
        let expected = Script::new([
            Step::write("a.txt", "a"),
            Step::Status(Failure::rate_limited(1).times(2)),
            Step::Hang,
            Step::CutStream,
            Step::Bash("true".into()),
            Step::Text("Done.".into()),
        ])
        .with_usage(TokenUsage { output_tokens: 7, ..TokenUsage::default() });
        assert_eq!(script, expected);
    }
}
