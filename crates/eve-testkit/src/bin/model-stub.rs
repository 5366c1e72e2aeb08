//! The scripted model as a program: for trying an agent CLI by hand, for demonstrations and for benchmarks.
//!
//! ```text
//! model-stub --script story.json &
//! http://127.0.0.1:41234
//! ANTHROPIC_BASE_URL=http://127.0.0.1:41234 ANTHROPIC_API_KEY=dummy claude -p 'Go on'
//! ```
//!
//! The first line on standard output is the address. It runs until it is killed.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::thread;

use anyhow::Context;
use clap::Parser;
use eve_testkit::model_stub::ModelStub;
use eve_testkit::model_stub::Script;

/// Serves scripted answers as the Anthropic Messages API and the OpenAI Responses API.
#[derive(Debug, Parser)]
struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// A script as a JSON file. With a name it answers under /r/NAME, without one at the bare address.
    #[arg(long = "script", value_name = "[NAME=]FILE", required = true)]
    scripts: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let scripts = options.scripts.iter().map(|script| read(script)).collect::<anyhow::Result<HashMap<_, _>>>()?;
    let stub =
        ModelStub::start_on(options.listen, scripts).with_context(|| format!("cannot listen on {}", options.listen))?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "http://{}", stub.address())?;
    stdout.flush()?;
    loop {
        thread::park();
    }
}

fn read(argument: &str) -> anyhow::Result<(String, Script)> {
    let (name, file) = argument.split_once('=').unwrap_or((Script::DEFAULT, argument));
    let text = fs::read_to_string(file).with_context(|| format!("cannot read the script {file}"))?;
    let script = serde_json::from_str(&text).with_context(|| format!("{file} is not a script"))?;
    Ok((name.to_owned(), script))
}
