//! The registry: every point, on which side it is, and what has happened when it is passed.

/// Which process passes a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `eve server`, or `eve up`.
    Server,
    /// A server that brings its schema up to date, before it serves.
    Migration,
    /// `eve worker`.
    Worker,
}

macro_rules! points {
    ($($side:ident $variant:ident $name:literal $says:literal;)*) => {
        /// A named seam between two steps.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Point {
            $(#[doc = $says] $variant,)*
        }

        impl Point {
            /// Every point.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What has happened when it is passed, in a sentence.
            pub const fn says(self) -> &'static str {
                match self {
                    $(Self::$variant => $says,)*
                }
            }

            /// Which process passes it.
            pub const fn side(self) -> Side {
                match self {
                    $(Self::$variant => Side::$side,)*
                }
            }
        }
    };
}

points! {
    Migration MigrationNext "migration_next" "Some migrations are applied, the next is not.";
    Migration MigrationDone "migration_done" "The schema is up to date, and nothing is served yet.";
    Server RequestCommitted "request_committed" "Requests are committed together, and their callers not answered.";
    Server RequestAloneCommitted "request_alone_committed" "A request with a parent or dependencies is committed, and its caller not answered.";
    Server ChangeCommitted "change_committed" "A cancel, pause or resume is committed, and its caller not answered.";
    Server WorkerEntered "worker_entered" "A worker is entered, and not told its id.";
    Server ClaimTaken "claim_taken" "A claim has its leases written, and is not committed.";
    Server ClaimCommitted "claim_committed" "A claim is committed, and its worker not answered.";
    Server StartCommitted "start_committed" "A start is committed, and its worker not answered.";
    Server HeartbeatCommitted "heartbeat_committed" "A heartbeat is committed, and its worker not answered.";
    Server LogCommitted "log_committed" "Lines of a log are committed, and their worker not answered.";
    Server TransitionLeft "transition_left" "Requests have left their places, and are in no other.";
    Server TransitionEntered "transition_entered" "Requests are in their new places, without a record of the attempts.";
    Server TransitionAttempts "transition_attempts" "Attempts are recorded, their results are not.";
    Server TransitionResults "transition_results" "Results are written, their events are not.";
    Server TransitionFinished "transition_finished" "Requests are finished, those that wait for them not freed.";
    Server SettleWritten "settle_written" "A settlement is written with all that follows, and not committed.";
    Server SettleCommitted "settle_committed" "A settlement is committed, and its worker not answered.";
    Server ReaperExpired "reaper_expired" "Lost workers are given up, what they held is not taken back.";
    Server ReaperTaken "reaper_taken" "Leases of lost workers are taken back, and not committed.";
    Server ReaperCommitted "reaper_committed" "Leases of lost workers are taken back, and nobody is told.";
    Server PromoterTaken "promoter_taken" "Requests that are due are queued, and not committed.";
    Server PromoterCommitted "promoter_committed" "Requests that are due are queued, and nobody is told.";
    Server ReleaseTaken "release_taken" "Dependants of an earlier end are freed, and not committed.";
    Server ReleaseCommitted "release_committed" "Dependants of an earlier end are freed, and nobody is told.";
    Worker Entered "entered" "The worker knows its id, and has not claimed.";
    Worker Claimed "claimed" "An answer to a claim is heard, and no heartbeat names it yet.";
    Worker Prepared "prepared" "The workspace is there, the start is not reported.";
    Worker StartHeard "start_heard" "The start is acknowledged, no process is there yet.";
    Worker Spawned "spawned" "The keeper is started, and nobody reads what the agent says.";
    Worker LogFlushed "log_flushed" "Lines of the log are acknowledged, and not crossed off.";
    Worker AgentEnded "agent_ended" "The agent has ended, and nothing is packed up or told.";
    Worker HandOverBegun "hand_over_begun" "The repository has the objects, the branch is not set.";
    Worker HandedOver "handed_over" "The branch is set, and neither remembered nor told.";
    Worker EndTold "end_told" "The end of an attempt is about to be told.";
    Worker EndHeard "end_heard" "The end of an attempt is acknowledged, and still named as running.";
}

impl Point {
    /// The point with this name, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|point| point.name() == name)
    }
}
