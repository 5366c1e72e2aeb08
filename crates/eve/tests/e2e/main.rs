//! End to end: the real binary with a real PostgreSQL, real git and, where they are installed, the real agent CLIs.
//!
//! Every test starts an Eve of its own in a fresh data directory and an environment that knows nothing of the host,
//! speaks to it as people and programs do (command line, HTTP, signals), and looks at what they could see, at the
//! processes of the host, and at files. Nothing waits for a length of time: tests look until something is so, within
//! a bound. Scripts that must still be running at some moment wait for a file, the *gate*, that the test makes.
//!
//! `EVE_CLAUDE_BIN` and `EVE_CODEX_BIN` name the agent CLIs, which `scripts/agent-clis.sh` installs; a test whose CLI
//! is missing says so and passes, unless `EVE_REQUIRE_AGENT_CLIS=1`. `EVE_TEST_RUNTIME_DIR` (a `postgres.runtime_dir`)
//! or `EVE_TEST_PG_BIN` (a `postgres.bin_dir`) chooses the PostgreSQL; else it is the newest of the system.

mod agents;
mod api;
mod containment;
mod drain;
mod failover;
mod keepers;
mod main_job;
mod processes;
mod provider;
mod repository;
mod restart;
mod supervisor;
mod wait;
mod world;
