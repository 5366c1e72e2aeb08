//! The world ledger: what agents noted about themselves, see `torture-agent`.

use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::path::Path;
use std::path::PathBuf;

use eve_core::AttemptId;
use eve_core::RequestId;

/// What an agent noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// It runs.
    Start,
    /// It goes on.
    Step,
    /// A process that it left behind goes on.
    Child,
    /// Another agent of the same request is alive.
    Contact,
    /// The other one lived on for so long, in milliseconds.
    Overlap(u64),
    /// It is done, and exits with this code.
    End(u64),
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) what: What,
    pub(crate) request: RequestId,
    pub(crate) attempt: AttemptId,
    pub(crate) fence: u64,
    pub(crate) worker: String,
    /// Milliseconds since the host's start.
    pub(crate) at: u64,
    /// As it was written.
    pub(crate) text: String,
}

/// Reads the ledger. A line that is not as it should be is an error: agents write whole lines.
pub(crate) fn read(directory: &Path) -> anyhow::Result<Vec<Line>> {
    let text = match std::fs::read_to_string(directory.join("ledger")) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    text.lines().map(|line| parse(line).ok_or_else(|| anyhow::anyhow!("not a line of the ledger: {line}"))).collect()
}

/// Reads one line.
pub(crate) fn parse(text: &str) -> Option<Line> {
    let mut words = text.split(' ');
    let what = words.next()?;
    let (request, attempt) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (fence, worker) = (words.next()?.parse().ok()?, words.next()?.to_owned());
    let _pid: u32 = words.next()?.parse().ok()?;
    let at = words.next()?.parse().ok()?;
    let number = words.next().and_then(|word| word.parse().ok());
    let what = match what {
        "start" => What::Start,
        "step" => What::Step,
        "child" => What::Child,
        "contact" => What::Contact,
        "overlap" => What::Overlap(number?),
        "end" => What::End(number?),
        _ => return None,
    };
    Some(Line { what, request, attempt, fence, worker, at, text: text.to_owned() })
}

/// Reads what is new in the ledger, so that waiting for something does not read everything again and again.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    offset: u64,
    rest: String,
}

impl Tail {
    /// Begins at the ledger's beginning.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { path: directory.join("ledger"), offset: 0, rest: String::new() }
    }

    /// The lines that were added since the last call.
    pub(crate) fn news(&mut self) -> anyhow::Result<Vec<Line>> {
        let Ok(mut file) = File::open(&self.path) else { return Ok(Vec::new()) };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut text = String::new();
        self.offset += u64::try_from(file.read_to_string(&mut text)?)?;
        self.rest.push_str(&text);
        let whole = self.rest.rfind('\n').map_or(0, |end| end + 1);
        let lines: String = self.rest.drain(..whole).collect();
        lines
            .lines()
            .map(|line| parse(line).ok_or_else(|| anyhow::anyhow!("not a line of the ledger: {line}")))
            .collect()
    }
}
