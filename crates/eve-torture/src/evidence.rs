//! The three ledgers: what clients were told, what happened in the world, and what the database says.
//!
//! They are kept by three parties that have nothing in common: the harness's client, agents that append to a file, and
//! PostgreSQL. Whatever they disagree about is somebody's mistake.

pub(crate) mod client;
pub(crate) mod database;
pub(crate) mod world;

use std::collections::BTreeMap;

use client::Asked;
use database::Records;
use world::Line;

/// The death of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Death {
    pub(crate) pid: u32,
    /// In milliseconds since the host's start.
    pub(crate) at: u64,
}

/// All three, and what was done to the processes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    /// What was asked, and what was answered.
    pub(crate) asked: Vec<Asked>,
    /// What the agents did.
    pub(crate) lines: Vec<Line>,
    /// What the database has.
    pub(crate) records: Records,
    /// When workers were killed, by name.
    pub(crate) deaths: BTreeMap<String, Death>,
}
