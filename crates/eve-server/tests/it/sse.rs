//! Reads server-sent events as a browser would.

use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::Response;
use serde_json::Value;

/// Longest wait for something that should come at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a block of the stream says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Block {
    Retry(u64),
    Comment(String),
    Event { name: String, id: Option<String>, data: Value },
}

/// A stream that is being read.
pub(crate) struct Stream {
    pub(crate) response: Response,
    pending: String,
}

impl Stream {
    /// Opens a stream and checks how it introduces itself.
    pub(crate) async fn open(call: RequestBuilder) -> Self {
        let response = call.header("accept", "text/event-stream").send().await.unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(response.status(), 200);
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-accel-buffering"), "no");
        let mut stream = Self { response, pending: String::new() };
        assert_eq!(stream.block().await, Some(Block::Retry(1000)));
        stream
    }

    /// The next block; nothing when the stream has ended.
    pub(crate) async fn block(&mut self) -> Option<Block> {
        loop {
            if let Some((block, rest)) = self.pending.split_once("\n\n") {
                let parsed = parse(block);
                self.pending = rest.to_owned();
                return Some(parsed);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("the stream says something");
            self.pending.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    /// The next event as name, id and data; nothing when the stream has ended.
    pub(crate) async fn event(&mut self) -> Option<(String, Option<String>, Value)> {
        loop {
            if let Block::Event { name, id, data } = self.block().await? {
                return Some((name, id, data));
            }
        }
    }

    /// The names of the next events.
    pub(crate) async fn names(&mut self, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(self.event().await.expect("another event").0);
        }
        names
    }
}

fn parse(block: &str) -> Block {
    let (mut name, mut id, mut data) = (String::new(), None, String::new());
    for line in block.lines() {
        match line.split_once(':').map(|(field, value)| (field, value.strip_prefix(' ').unwrap_or(value))) {
            Some(("", comment)) => return Block::Comment(comment.to_owned()),
            Some(("retry", value)) => return Block::Retry(value.parse().unwrap()),
            Some(("event", value)) => value.clone_into(&mut name),
            Some(("id", value)) => id = Some(value.to_owned()),
            Some(("data", value)) => data.push_str(value),
            other => panic!("unexpected line {other:?}"),
        }
    }
    Block::Event { name, id, data: serde_json::from_str(&data).unwrap() }
}
