//! Where and when something was measured, and with which settings of the database.

use std::fmt::Write;
use std::fs;
use std::thread;

use anyhow::Result;
use jiff::Timestamp;
use jiff::Unit;
use serde::Serialize;

use crate::bed::Bed;
use crate::cost;

/// What decides about the speed of a commit.
const SETTINGS: [&str; 5] = ["fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size"];

/// Facts without which the figures mean nothing.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    started_at: String,
    cores: usize,
    processor: String,
    kernel: String,
    postgresql: String,
    settings: Vec<(String, String)>,
    load_before: f64,
    load_after: f64,
}

impl Machine {
    /// Looks at the machine and the database.
    pub(crate) async fn look(bed: &mut Bed) -> Result<Self> {
        let mut settings = Vec::new();
        for name in SETTINGS {
            settings.push((name.to_owned(), setting(bed, name).await?));
        }
        let load = cost::load_average()?;
        Ok(Self {
            started_at: Timestamp::now().round(Unit::Second)?.to_string(),
            cores: thread::available_parallelism()?.get(),
            processor: processor(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            postgresql: setting(bed, "server_version").await?,
            settings,
            load_before: load,
            load_after: load,
        })
    }

    /// Notes how busy the machine was in the end.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.load_after = cost::load_average()?;
        Ok(())
    }

    pub(crate) fn markdown(&self, out: &mut String) {
        let settings: Vec<String> = self.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{}; {} cores, {}, Linux {}; PostgreSQL {} ({}); load average {:.1} before, {:.1} after.",
            self.started_at,
            self.cores,
            self.processor,
            self.kernel,
            self.postgresql,
            settings.join(", "),
            self.load_before,
            self.load_after
        );
    }
}

async fn setting(bed: &mut Bed, name: &str) -> Result<String> {
    Ok(sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&mut bed.beside).await?)
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}
