//! The scenarios: each breaks one thing, again and again, and states what must hold all the same.

mod cancels;
mod clocks;
mod crash_points;
mod disks;
mod drains;
mod kills;
mod migrations;
mod model;
mod poison;
mod postgres;
mod silence;
mod storm;

use std::future::Future;
use std::pin::Pin;

use eve_crash::Point;

use crate::outcome::Outcome;

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// A sample, in seconds.
    Short,
    /// What the gates are stated for.
    Full,
}

impl Size {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Full => "full",
        }
    }

    /// One of two numbers.
    pub(crate) const fn pick(self, short: usize, full: usize) -> usize {
        match self {
            Self::Short => short,
            Self::Full => full,
        }
    }
}

/// What a scenario is given.
pub(crate) struct Context {
    pub(crate) size: Size,
    pub(crate) seed: u64,
    pub(crate) random: fastrand::Rng,
    /// The only crash point that is wanted.
    pub(crate) point: Option<Point>,
}

type Running<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Outcome>> + 'a>>;

/// A scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What it does, in a sentence.
    pub(crate) says: &'static str,
    pub(crate) run: for<'a> fn(&'a mut Context) -> Running<'a>,
}

/// What only a full run has: its sample is the tests of `eve-model`.
pub(crate) const FULL_ONLY: &str = "model";

/// All of them, in the order in which they are run.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "crash-points",
        says: "Servers and workers are killed at every named point between two steps.",
        run: |context| Box::pin(crash_points::run(context)),
    },
    Scenario {
        name: "migrations",
        says: "A server is killed while it brings its database up to date.",
        run: |context| Box::pin(migrations::run(context)),
    },
    Scenario {
        name: "kills",
        says: "Workers are killed at random while requests run.",
        run: |context| Box::pin(kills::run(context)),
    },
    Scenario {
        name: "freezes",
        says: "Workers are frozen for longer than their lease, and go on.",
        run: |context| Box::pin(silence::run(context, silence::Silence::Frozen)),
    },
    Scenario {
        name: "partitions",
        says: "Workers are cut off from their server for longer than their lease.",
        run: |context| Box::pin(silence::run(context, silence::Silence::CutOff)),
    },
    Scenario {
        name: "postgres",
        says: "PostgreSQL is stopped as by a crash, and started again.",
        run: |context| Box::pin(postgres::run(context)),
    },
    Scenario { name: "cancels", says: "Cancelling races completion.", run: |context| Box::pin(cancels::run(context)) },
    Scenario {
        name: "drains",
        says: "Workers are asked to stop under load.",
        run: |context| Box::pin(drains::run(context)),
    },
    Scenario {
        name: "poison",
        says: "Some requests kill every worker that takes them.",
        run: |context| Box::pin(poison::run(context)),
    },
    Scenario {
        name: "clocks",
        says: "Clocks of servers and workers are wrong by an hour, and leap.",
        run: |context| Box::pin(clocks::run(context)),
    },
    Scenario {
        name: "disk-workspaces",
        says: "The disk of a worker's workspaces is full, and has room again.",
        run: |context| Box::pin(disks::workspaces(context)),
    },
    Scenario {
        name: "disk-database",
        says: "The disk of the database is full, and has room again.",
        run: |context| Box::pin(disks::database(context)),
    },
    Scenario {
        name: "storm",
        says: "Everything at once, as the seed will have it.",
        run: |context| Box::pin(storm::run(context)),
    },
    Scenario {
        name: "model",
        says: "The protocol's model is explored further than the tests do.",
        run: |context| Box::pin(model::run(context)),
    },
];
