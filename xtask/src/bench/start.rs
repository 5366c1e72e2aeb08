//! How long `eve up` takes on a data directory that exists, and how much memory it holds when nothing happens.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use serde_json::Value;

use super::megabytes;
use crate::process;

/// Written by `eve up` into the data directory: where it listens.
const SERVER_FILE: &str = "server.json";

const READY_LIMIT: Duration = Duration::from_secs(120);
const READY_PAUSE: Duration = Duration::from_millis(2);
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const STOP_PAUSE: Duration = Duration::from_millis(20);
/// After this, what the start needed and what idling needs can be told apart.
const IDLE: Duration = Duration::from_secs(10);

/// Measures and prints. Without a data directory it makes one, and removes it.
pub(super) fn run(binary: &Path, data_dir: Option<PathBuf>, runs: usize) -> Result<()> {
    let Some(data_dir) = data_dir else {
        let own = std::env::temp_dir().join(format!("eve-bench-{}", std::process::id()));
        let measured = measure(binary, &own, runs);
        let _ = fs::remove_dir_all(&own);
        return measured;
    };
    measure(binary, &data_dir, runs)
}

fn measure(binary: &Path, data_dir: &Path, runs: usize) -> Result<()> {
    // The first start may have to make the directory and the database, or to recover it.
    Eve::start(binary, data_dir)?.0.stop()?;
    let mut times = Vec::with_capacity(runs);
    let mut resident = None;
    for run in 1..=runs {
        let (eve, time) = Eve::start(binary, data_dir)?;
        times.push(time);
        if run == runs {
            thread::sleep(IDLE);
            resident = Some(eve.resident()?);
        }
        eve.stop()?;
    }
    times.sort();
    let list: Vec<String> = times.iter().map(|time| time.as_millis().to_string()).collect();
    let mut out = io::stdout().lock();
    writeln!(out, "start: {} ms until ready (median of {})", median(&times).as_millis(), list.join(", "))?;
    if let Some(bytes) = resident {
        let seconds = IDLE.as_secs();
        writeln!(out, "memory: {} resident after {seconds} s idle, without PostgreSQL", megabytes(bytes))?;
    }
    Ok(())
}

/// The middle of sorted times; the later one of two.
fn median(times: &[Duration]) -> Duration {
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A running `eve up`. Killed when it is dropped without having been stopped.
struct Eve {
    child: Child,
}

impl Eve {
    /// Starts it and waits until it is ready; tells how long that took.
    fn start(binary: &Path, data_dir: &Path) -> Result<(Self, Duration)> {
        let server_file = data_dir.join(SERVER_FILE);
        // One that an earlier run left behind would send us to the wrong place.
        let _ = fs::remove_file(&server_file);
        let listen = format!("127.0.0.1:{}", free_port()?);
        let log = std::env::temp_dir().join(format!("eve-bench-{}.log", std::process::id()));
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(binary);
        command.arg("up").arg("--data-dir").arg(data_dir).args(["--listen", &listen]).env_remove("DATABASE_URL");
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let start = Instant::now();
        let mut eve = Self { child: command.spawn().with_context(|| format!("cannot start {}", binary.display()))? };
        while !is_ready(&server_file) {
            let ended = eve.child.try_wait()?;
            if ended.is_some() || start.elapsed() > READY_LIMIT {
                let text = fs::read_to_string(&log).unwrap_or_default();
                let _ = fs::remove_file(&log);
                bail!("`eve up` did not get ready:\n{}", text.trim());
            }
            thread::sleep(READY_PAUSE);
        }
        let time = start.elapsed();
        let _ = fs::remove_file(&log);
        Ok((eve, time))
    }

    /// The memory of this process alone, in bytes.
    fn resident(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        resident(&status).with_context(|| format!("no VmRSS in {path}"))
    }

    /// Asks it to stop, as an operator would.
    fn stop(mut self) -> Result<()> {
        process::run(Command::new("kill").arg("-TERM").arg(self.child.id().to_string()))?;
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > STOP_LIMIT {
                bail!("`eve up` did not stop within {} s", STOP_LIMIT.as_secs());
            }
            thread::sleep(STOP_PAUSE);
        }
        Ok(())
    }
}

impl Drop for Eve {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Whether the server that wrote the file says that it is ready.
fn is_ready(server_file: &Path) -> bool {
    let address = fs::read_to_string(server_file).ok().and_then(|text| address(&text));
    address.is_some_and(|address| answers(&address).unwrap_or(false))
}

/// The address and port in the server file, without the scheme that they always have.
fn address(server_file: &str) -> Option<String> {
    let file: Value = serde_json::from_str(server_file).ok()?;
    let url = file.get("url")?.as_str()?;
    Some(url.strip_prefix("http://")?.trim_end_matches('/').to_owned())
}

fn answers(address: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(64).read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}

/// VmRSS in bytes.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests;
