//! The rules of the protocol, each of which can be taken away, and how much of the world is explored.

/// What lets an attempt's write through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// The lease's row is there and has the fence of the write.
    Lease,
    /// The fence is the last one given out, whether or not its lease is still there.
    LastFence,
    /// The request is claimed or processing, by whomever.
    State,
    /// The request exists.
    Request,
}

/// From when a worker counts the time that a heartbeat has won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// From when it sent the heartbeat.
    Sent,
    /// From when it received the answer.
    Received,
}

/// Whose clock says when a worker's time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The database's, from when it heard the heartbeat.
    Database,
    /// The worker's, which sends the time, and whose clock is behind by so many ticks.
    Worker(u8),
}

/// Which leases of a worker go back to the queue because its heartbeat does not name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unnamed {
    /// Those whose attempt was not started, when they are older than a lease period.
    NotStarted,
    /// All that are older than a lease period.
    Old,
    /// None.
    None,
}

/// What is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What lets an attempt's write through.
    pub guard: Guard,
    /// From when a worker counts.
    pub deadline: Deadline,
    /// Whose clock decides about a worker.
    pub clock: Clock,
    /// How much earlier than the database the worker gives up, in ticks.
    pub margin: u8,
    /// Which unnamed leases go back.
    pub unnamed: Unnamed,
    /// Whether a worker that was marked lost stays so.
    pub lost_is_final: bool,
    /// Whether the reaper looks for each lease again whether its worker is lost. Only matters if that is not final.
    pub reaper_looks_again: bool,
    /// Whether a lost worker's claim is refused.
    pub claim_needs_life: bool,
    /// Whether a worker asks for leave before it starts an agent, and waits for the answer.
    pub start_is_awaited: bool,
    /// Whether a keeper kills the agents of a worker that is frozen.
    pub keeper: bool,
    /// Whether the keeper is told a point in time, and not how much time is left.
    pub keeper_told_when: bool,
    /// Whether a claim wins the worker time, from when it hears the answer.
    pub claim_wins_time: bool,
    /// Whether an attempt that was killed because time was over is given back.
    pub killed_is_released: bool,
}

impl Rules {
    /// The protocol.
    pub const SOUND: Self = Self {
        guard: Guard::Lease,
        deadline: Deadline::Sent,
        clock: Clock::Database,
        margin: 1,
        unnamed: Unnamed::NotStarted,
        lost_is_final: true,
        reaper_looks_again: false,
        claim_needs_life: true,
        start_is_awaited: true,
        keeper: true,
        keeper_told_when: true,
        claim_wins_time: false,
        killed_is_released: true,
    };
}

/// The protocol with one rule taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twin {
    /// Writes are checked by the request alone.
    NoFence,
    /// Writes are checked by the request's state.
    StateGuard,
    /// Writes are checked by the last fence and not by the lease, so that a settlement counts again when repeated.
    LastFenceGuard,
    /// The worker counts from when it received the answer.
    CountsFromAnswer,
    /// The worker believes that the answer to a claim wins it time.
    CountsFromClaim,
    /// The database believes the worker's clock.
    TrustsWorkersClock,
    /// The worker gives up no earlier than the database, though its clock may be slow.
    NoMargin,
    /// A lost worker's heartbeat brings it back to life.
    LostComesBack,
    /// The same, and the reaper leaves its other leases alone then.
    LostComesBackUnharmed,
    /// A lost worker's claim is carried out.
    LostMayClaim,
    /// A heartbeat that does not name a started attempt ends its lease.
    UnnamedEndsStarted,
    /// Claims whose answer was lost are not looked for.
    UnnamedStays,
    /// The agent starts before its start is acknowledged.
    StartsUnasked,
    /// Nobody kills the agents of a frozen worker.
    NoKeeper,
    /// The keeper is told how much time is left.
    KeeperToldHowLong,
    /// The worker forgets an attempt that it had to kill.
    KilledIsForgotten,
}

impl Twin {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::NoFence,
        Self::StateGuard,
        Self::LastFenceGuard,
        Self::CountsFromAnswer,
        Self::CountsFromClaim,
        Self::TrustsWorkersClock,
        Self::NoMargin,
        Self::LostComesBack,
        Self::LostComesBackUnharmed,
        Self::LostMayClaim,
        Self::UnnamedEndsStarted,
        Self::UnnamedStays,
        Self::StartsUnasked,
        Self::NoKeeper,
        Self::KeeperToldHowLong,
        Self::KilledIsForgotten,
    ];

    /// Its rules.
    pub const fn rules(self) -> Rules {
        let sound = Rules::SOUND;
        match self {
            Self::NoFence => Rules { guard: Guard::Request, ..sound },
            Self::StateGuard => Rules { guard: Guard::State, ..sound },
            Self::LastFenceGuard => Rules { guard: Guard::LastFence, ..sound },
            Self::CountsFromAnswer => Rules { deadline: Deadline::Received, ..sound },
            Self::CountsFromClaim => Rules { claim_wins_time: true, ..sound },
            Self::TrustsWorkersClock => Rules { clock: Clock::Worker(1), ..sound },
            Self::NoMargin => Rules { margin: 0, ..sound },
            Self::LostComesBack => Rules { lost_is_final: false, ..sound },
            Self::LostComesBackUnharmed => Rules { lost_is_final: false, reaper_looks_again: true, ..sound },
            Self::LostMayClaim => Rules { claim_needs_life: false, ..sound },
            Self::UnnamedEndsStarted => Rules { unnamed: Unnamed::Old, ..sound },
            Self::UnnamedStays => Rules { unnamed: Unnamed::None, ..sound },
            Self::StartsUnasked => Rules { start_is_awaited: false, ..sound },
            Self::NoKeeper => Rules { keeper: false, ..sound },
            Self::KeeperToldHowLong => Rules { keeper_told_when: false, ..sound },
            Self::KilledIsForgotten => Rules { killed_is_released: false, ..sound },
        }
    }
}

/// How much of the world is explored. Time itself has no bound: only differences of times are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Requests.
    pub requests: u8,
    /// Ticks that a heartbeat wins.
    pub lease: u8,
    /// Ticks that a worker's clock may lose in that time.
    pub drift: u8,
    /// Workers whose messages take time; a call of the others is one step.
    pub slow_workers: u8,
    /// Messages in flight whose sender waits no more.
    pub strays: usize,
    /// Calls given up before their answer was heard.
    pub lost_calls: u8,
    /// Workers killed.
    pub crashes: u8,
    /// Workers stopped by a signal.
    pub freezes: u8,
    /// How often a person cancels.
    pub cancels: u8,
    /// How often a person pauses.
    pub pauses: u8,
    /// How often a worker gives back what it runs.
    pub drains: u8,
    /// How often an agent fails.
    pub failures: u8,
    /// Claims of one request.
    pub claims: u8,
    /// Times that workers enter, with the two that are there at the beginning.
    pub sessions: u8,
    /// Attempts that may fail.
    pub max_attempts: u16,
    /// Workers that may be lost.
    pub max_crashes: u16,
}

impl Bounds {
    /// One request, two workers, and nothing that goes wrong but time.
    pub const SMALL: Self = Self {
        requests: 1,
        lease: 2,
        drift: 1,
        slow_workers: 1,
        strays: 1,
        lost_calls: 0,
        crashes: 0,
        freezes: 0,
        cancels: 0,
        pauses: 0,
        drains: 0,
        failures: 0,
        claims: 2,
        sessions: 3,
        max_attempts: 2,
        max_crashes: 2,
    };
}
