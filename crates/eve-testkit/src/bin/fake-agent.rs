//! A real process that behaves badly on demand, for tests of whatever has to supervise agents.
//!
//! Every subcommand does one thing that real agents have been seen doing: flooding a pipe, going silent, ignoring
//! signals, leaving processes behind, writing what is no text.

use std::env;
use std::io;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use anyhow::bail;
use clap::Parser;
use clap::Subcommand;

/// Bytes in a line of a flood, with its end.
const FLOOD_LINE: usize = 80;
/// How much of a flood is written at once.
const FLOOD_CHUNK: usize = 64 * 1024;
/// How long what should never end lasts, so that a test that fails leaves nothing behind for ever.
const AN_HOUR: Duration = Duration::from_secs(60 * 60);

/// Behaves badly on demand.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    behaviour: Behaviour,
}

#[derive(Debug, Subcommand)]
enum Behaviour {
    /// Writes that many bytes to standard output, as fast as the reader takes them, and exits.
    Flood {
        bytes: usize,
        /// Lines of 80 bytes; the default.
        #[arg(long, overrides_with = "no_newlines")]
        newlines: bool,
        /// One line without an end.
        #[arg(long)]
        no_newlines: bool,
    },
    /// Says nothing and does nothing for an hour.
    Hang,
    /// Ignores SIGTERM, SIGINT and SIGHUP, says "ignoring" once it does, and sleeps for an hour.
    IgnoreTerm,
    /// Starts grandchildren in sessions of their own that sleep for an hour, says their process ids, and exits.
    Fork {
        count: usize,
        /// Lets the grandchildren keep standard output and standard error, so that no reader sees their end.
        #[arg(long)]
        keep_output: bool,
        /// Stays for an hour instead of exiting.
        #[arg(long)]
        stay: bool,
    },
    /// Exits with a code.
    Exit { code: u8 },
    /// Writes the bytes of a hexadecimal string to standard output, whatever they are.
    Bytes { hex: String },
    /// Writes numbered lines, one at a time.
    Lines {
        count: usize,
        /// The pause after each line.
        #[arg(long, default_value_t = 0)]
        interval_ms: u64,
    },
    /// Writes its environment, sorted, NAME=VALUE a line.
    Env,
}

fn main() -> anyhow::Result<ExitCode> {
    let mut stdout = io::stdout().lock();
    match Options::parse().behaviour {
        Behaviour::Flood { bytes, no_newlines, .. } => flood(&mut stdout, bytes, !no_newlines)?,
        Behaviour::Hang => thread::sleep(AN_HOUR),
        Behaviour::IgnoreTerm => return Err(ignore_term()),
        Behaviour::Fork { count, keep_output, stay } => {
            for _ in 0..count {
                orphan(keep_output)?;
            }
            if stay {
                thread::sleep(AN_HOUR);
            }
        }
        Behaviour::Exit { code } => return Ok(ExitCode::from(code)),
        Behaviour::Bytes { hex } => stdout.write_all(&decode(&hex)?)?,
        Behaviour::Lines { count, interval_ms } => {
            for number in 1..=count {
                writeln!(stdout, "line {number}")?;
                stdout.flush()?;
                thread::sleep(Duration::from_millis(interval_ms));
            }
        }
        Behaviour::Env => {
            let mut variables: Vec<_> = env::vars_os().collect();
            variables.sort();
            for (name, value) in variables {
                let line = [name.as_bytes(), b"=", value.as_bytes(), b"\n"].concat();
                stdout.write_all(&line)?;
            }
        }
    }
    stdout.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn flood(output: &mut impl Write, bytes: usize, newlines: bool) -> io::Result<()> {
    let mut chunk = vec![b'x'; FLOOD_CHUNK - FLOOD_CHUNK % FLOOD_LINE];
    if newlines {
        chunk.iter_mut().skip(FLOOD_LINE - 1).step_by(FLOOD_LINE).for_each(|byte| *byte = b'\n');
    }
    let mut left = bytes;
    while left > 0 {
        let now = left.min(chunk.len());
        output.write_all(&chunk[..now])?;
        left -= now;
    }
    Ok(())
}

/// Becomes a hanging copy of this program that ignores signals; comes back only with an error.
///
/// The shell does what safe Rust cannot: a signal that is ignored stays so over exec.
fn ignore_term() -> anyhow::Error {
    match env::current_exe() {
        Ok(program) => {
            let script = "trap '' TERM INT HUP; echo ignoring; exec \"$0\" hang";
            Command::new("/bin/sh").arg("-c").arg(script).arg(program).exec().into()
        }
        Err(error) => error.into(),
    }
}

/// Starts a process that belongs to nobody: its parent is gone and its session is its own. The shell says its id.
fn orphan(keep_output: bool) -> anyhow::Result<()> {
    let seconds = AN_HOUR.as_secs();
    let output = if keep_output { "" } else { ">/dev/null 2>&1" };
    // A background process of a shell without job control leads no group, so setsid keeps the id.
    let script = format!("setsid sleep {seconds} </dev/null {output} & echo $!");
    let status = Command::new("/bin/sh").arg("-c").arg(script).status()?;
    if !status.success() {
        bail!("the shell could not start a process: {status}");
    }
    Ok(())
}

fn decode(hex: &str) -> anyhow::Result<Vec<u8>> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()
        .with_context(|| format!("{hex} is not hexadecimal"))?;
    if !digits.len().is_multiple_of(2) {
        bail!("a byte has two hexadecimal digits, but there are {} of them", digits.len());
    }
    Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
