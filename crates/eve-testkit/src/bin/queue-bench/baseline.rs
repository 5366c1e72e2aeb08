//! The measure of everything else: one durable commit of one row, by one connection.
//!
//! The only SQL of this program that Eve does not make. It says what the disk and the neighbours allow at this minute.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use sqlx::PgConnection;

use crate::cost;

/// Commits before and after each scenario: enough for a median, too few to take long.
const COMMITS: usize = 150;
/// About what a narrow table's row is long.
const PAYLOAD_LEN: usize = 100;

/// How long durable commits took.
#[derive(Debug, Default)]
pub(crate) struct Baseline {
    commits: Vec<Duration>,
}

impl Baseline {
    /// Makes the table that it inserts into.
    pub(crate) async fn prepare(connection: &mut PgConnection) -> Result<()> {
        sqlx::raw_sql(
            "CREATE TABLE public.queue_bench (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, payload text)",
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Some commits more, for the minute around a scenario.
    pub(crate) async fn sample(&mut self, connection: &mut PgConnection) -> Result<()> {
        self.sample_many(connection, COMMITS).await
    }

    /// That many commits more.
    pub(crate) async fn sample_many(&mut self, connection: &mut PgConnection, count: usize) -> Result<()> {
        let payload = "x".repeat(PAYLOAD_LEN);
        for _ in 0..count {
            let before = Instant::now();
            sqlx::query("INSERT INTO public.queue_bench (payload) VALUES ($1)")
                .bind(&payload)
                .execute(&mut *connection)
                .await?;
            self.commits.push(before.elapsed());
        }
        Ok(())
    }

    /// The commits so far.
    pub(crate) fn commits(&self) -> &[Duration] {
        &self.commits
    }

    /// Commits in a second, one after the other.
    pub(crate) fn rate(&self) -> f64 {
        let total: Duration = self.commits.iter().sum();
        cost::float(self.commits.len()) / total.as_secs_f64()
    }
}
