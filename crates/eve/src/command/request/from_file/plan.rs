//! A file of requests, read once from end to end: what is wrong with it, who names whom, and how it is cut into calls.
//!
//! Of each line only its place, its name and what it refers to are kept; the line itself is read again when its call is
//! made. A file that changes in between is noticed.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fs::File;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::path::Path;

use aws_lc_rs::digest;
use eve_api_types::BulkRequest;
use eve_core::Cycle;
use eve_core::Priority;
use eve_core::Reference;
use eve_core::RequestId;
use eve_core::reference_order;
use serde_json::Value;

use crate::error::CliError;
use crate::error::ErrorKind;
use crate::output::sanitize;

/// Most requests in one call: the server takes no more.
const REQUESTS_PER_CALL: usize = 1000;
/// Most bytes of lines in one call, well below what the server takes.
const BYTES_PER_CALL: usize = 8 * 1024 * 1024;
/// Most names of others in one call: the server takes no more.
const REFERENCES_PER_CALL: usize = 20_000;
/// Longest line, in bytes.
const LINE_LEN: usize = 2 * 1024 * 1024;
/// Most lines of a file.
const LINES: usize = 1_000_000;
/// Most things that are told to be wrong; the rest is counted.
const ERRORS_SHOWN: usize = 50;
/// Characters of a key that come from the file's content.
const KEY_LEN: usize = 40;

/// One line that asks for something.
pub(super) struct Entry {
    /// Its number in the file, from 1.
    pub(super) line: usize,
    /// Its name.
    pub(super) name: Option<String>,
    offset: u64,
    length: usize,
    hash: u64,
    references: Vec<String>,
    ids: usize,
}

/// A file that can be asked for.
pub(super) struct Plan {
    file: BufReader<File>,
    /// The lines that ask for something, in their order.
    pub(super) entries: Vec<Entry>,
    /// The calls, first to last: places in `entries`.
    pub(super) calls: Vec<Vec<usize>>,
    places: HashMap<String, usize>,
    content: String,
}

/// What is wrong, as far as it is told.
#[derive(Default)]
struct Faults {
    told: BTreeMap<usize, String>,
    count: usize,
}

impl Faults {
    fn add(&mut self, line: usize, message: impl AsRef<str>) {
        self.count += 1;
        if self.told.len() < ERRORS_SHOWN {
            self.told.entry(line).or_insert_with(|| sanitize(message.as_ref()));
        }
    }

    fn into_error(self, source: &str) -> CliError {
        let lines = self.count;
        let what = if lines == 1 { "1 line is".to_owned() } else { format!("{lines} lines are") };
        let error = CliError::usage(format!("nothing was created: {what} wrong in {source}"));
        let left = self.count - self.told.len();
        let error = error.hints(self.told.into_iter().map(|(line, message)| format!("line {line}: {message}")));
        if left > 0 { error.hint(format!("and {left} more")) } else { error }
    }
}

impl Plan {
    /// Reads a file, or standard input where the path is `-`, and cuts it into calls.
    pub(super) fn read(path: &Path, worker_types: &BTreeSet<String>) -> Result<Self, CliError> {
        let source = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
        let failed = |error| CliError::caused(ErrorKind::Usage, format!("cannot read {source}"), error);
        let file = open(path).map_err(failed)?;
        let mut plan = Self {
            file: BufReader::new(file),
            entries: Vec::new(),
            calls: Vec::new(),
            places: HashMap::new(),
            content: String::new(),
        };
        let mut faults = Faults::default();
        plan.read_lines(worker_types, &mut faults).map_err(failed)?;
        let links = plan.link(&mut faults);
        if faults.count > 0 {
            return Err(faults.into_error(&source));
        }
        if plan.entries.is_empty() {
            return Err(CliError::usage(format!("{source} holds no request"))
                .hint("each line is a JSON object, such as {\"prompt\": \"Fix the importer\"}"));
        }
        let order = reference_order(&links).map_err(|Cycle(cycle)| {
            let told: Vec<String> = cycle.into_iter().map(|place| plan.called(place)).collect();
            CliError::usage(format!("nothing was created: lines of {source} wait for each other in a circle"))
                .hint(told.join(" → "))
        })?;
        plan.cut(&order);
        Ok(plan)
    }

    fn read_lines(&mut self, worker_types: &BTreeSet<String>, faults: &mut Faults) -> std::io::Result<()> {
        let mut content = digest::Context::new(&digest::SHA256);
        let (mut offset, mut line) = (0_u64, 0);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let limit = LINE_LEN as u64 + 1;
            let length = self.file.by_ref().take(limit).read_until(b'\n', &mut bytes)?;
            if length == 0 {
                break;
            }
            line += 1;
            content.update(&bytes);
            if length > LINE_LEN {
                faults.add(line, format!("it is longer than {LINE_LEN} bytes; the lines after it were not looked at"));
                break;
            }
            if line > LINES {
                faults.add(line, format!("a file has at most {LINES} lines; split it"));
                break;
            }
            if !bytes.iter().all(u8::is_ascii_whitespace) {
                match self.entry(&bytes, line, offset, worker_types) {
                    Ok(entry) => self.entries.push(entry),
                    Err(message) => faults.add(line, message),
                }
            }
            offset += length as u64;
        }
        self.content = content.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(())
    }

    fn entry(
        &mut self,
        bytes: &[u8],
        line: usize,
        offset: u64,
        worker_types: &BTreeSet<String>,
    ) -> Result<Entry, String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("it is not JSON: {error}"))?;
        let named = value.get("ref").and_then(Value::as_str).map(str::to_owned);
        // A line that is wrong has its name all the same, so that those who say it are not told to be wrong, too.
        if let Some(name) = &named {
            let first = self.places.entry(name.clone()).or_insert(usize::MAX);
            if *first != usize::MAX {
                let other = self.entries.get(*first).map_or(0, |entry| entry.line);
                return Err(format!("`{name}` is the `ref` of line {other} already"));
            }
        }
        let read = BulkRequest::parse(value).map_err(|fault| match fault.field.as_str() {
            "" => fault.message,
            field => format!("`{field}`: {}", fault.message),
        })?;
        let request = &read.request;
        if request.prompt.trim().is_empty() {
            return Err("`prompt` is empty".to_owned());
        }
        if let Some(priority) = &request.priority {
            priority.parse::<Priority>()?;
        }
        if let Some(name) = request.worker_type.as_ref().filter(|name| !worker_types.contains(*name)) {
            return Err(format!("there is no worker type `{name}`; `eve worker-types list` shows those that exist"));
        }
        let all = read.blocked_by.into_iter().chain(read.parent);
        let (mut references, mut ids) = (Vec::new(), 0);
        for reference in all {
            match reference {
                Reference::Name(name) => references.push(name),
                Reference::Id(_) => ids += 1,
            }
        }
        if references.len() + ids > REFERENCES_PER_CALL {
            return Err(format!("it names more than {REFERENCES_PER_CALL} others"));
        }
        if let Some(name) = &named {
            self.places.insert(name.clone(), self.entries.len());
        }
        Ok(Entry { line, name: named, offset, length: bytes.len(), hash: hash(bytes), references, ids })
    }

    /// Which entries each entry names.
    fn link(&self, faults: &mut Faults) -> Vec<Vec<usize>> {
        let mut links = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let mut link = Vec::with_capacity(entry.references.len());
            for name in &entry.references {
                match self.places.get(name) {
                    Some(place) if *place < self.entries.len() => link.push(*place),
                    // The line of that name is told to be wrong itself.
                    Some(_) => {}
                    None => faults.add(entry.line, format!("no line has the `ref` `{name}`")),
                }
            }
            links.push(link);
        }
        links
    }

    /// How a person finds an entry.
    pub(super) fn called(&self, place: usize) -> String {
        match self.entries.get(place) {
            Some(Entry { line, name: Some(name), .. }) => format!("{} (line {line})", sanitize(name)),
            Some(Entry { line, name: None, .. }) => format!("line {line}"),
            None => String::new(),
        }
    }

    /// Calls in this order, each as large as the server takes.
    fn cut(&mut self, order: &[usize]) {
        let (mut call, mut bytes, mut references) = (Vec::new(), 0, 0);
        for place in order {
            let Some(entry) = self.entries.get(*place) else { continue };
            let named = entry.references.len() + entry.ids;
            let full = call.len() == REQUESTS_PER_CALL
                || bytes + entry.length > BYTES_PER_CALL
                || references + named > REFERENCES_PER_CALL;
            if full && !call.is_empty() {
                self.calls.push(std::mem::take(&mut call));
                (bytes, references) = (0, 0);
            }
            call.push(*place);
            bytes += entry.length;
            references += named;
        }
        self.calls.push(call);
    }

    /// The key that makes a call once, however often this file is asked for.
    pub(super) fn key(&self, own: Option<&str>, call: usize) -> String {
        let hashed =
            digest::digest(&digest::SHA256, format!("{}\0{}", own.unwrap_or_default(), self.content).as_bytes());
        let text: String = hashed.as_ref().iter().map(|byte| format!("{byte:02x}")).take(KEY_LEN / 2).collect();
        format!("file-{text}-{call}")
    }

    /// The body of a call. What is named and was created by an earlier call is named by its id.
    pub(super) fn body(&mut self, call: usize, ids: &[Option<RequestId>]) -> Result<String, CliError> {
        let mut requests = Vec::new();
        for place in self.calls.get(call).cloned().unwrap_or_default() {
            let mut value = self.line_again(place)?;
            let known = |name: &str| self.places.get(name).and_then(|place| ids.get(*place).copied().flatten());
            for field in ["blocked_by", "blockedBy", "parent_id", "parentId"] {
                match value.get_mut(field) {
                    Some(Value::Array(items)) => items.iter_mut().for_each(|item| name_by_id(item, known)),
                    Some(item) => name_by_id(item, known),
                    None => {}
                }
            }
            requests.push(value);
        }
        Ok(serde_json::json!({"requests": requests}).to_string())
    }

    fn line_again(&mut self, place: usize) -> Result<Value, CliError> {
        let changed = || {
            CliError::usage("the file was changed while it was read")
                .hint("run the command again once nobody writes to it")
        };
        let entry = self.entries.get(place).ok_or_else(changed)?;
        let mut bytes = vec![0; entry.length];
        self.file.seek(SeekFrom::Start(entry.offset))?;
        self.file.read_exact(&mut bytes).map_err(|_| changed())?;
        if hash(&bytes) != entry.hash {
            return Err(changed());
        }
        serde_json::from_slice(&bytes).map_err(|_| changed())
    }
}

fn name_by_id(item: &mut Value, known: impl Fn(&str) -> Option<RequestId>) {
    let Some(text) = item.as_str() else { return };
    if let Ok(Reference::Name(name)) = text.parse::<Reference>()
        && let Some(id) = known(&name)
    {
        *item = Value::String(id.to_string());
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// The file itself, or a copy without a name of what can be read only once.
fn open(path: &Path) -> std::io::Result<File> {
    let mut once: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let file = File::open(path)?;
        if file.metadata()?.is_file() {
            return Ok(file);
        }
        Box::new(file)
    };
    let mut copy = tempfile::tempfile()?;
    std::io::copy(&mut once, &mut copy)?;
    copy.flush()?;
    copy.seek(SeekFrom::Start(0))?;
    Ok(copy)
}
