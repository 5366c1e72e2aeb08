//! Tests of the built binary: what it prints, how it ends, and what it makes of a server that misbehaves.
//!
//! Each test has an environment of its own: no variables, no home, no terminal. The stand-in for the server exists
//! for answers that a real one gives only on bad days; that the commands work is tested against the real one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bulk;
mod config;
mod errors;
mod limits;
mod reference;
mod running;
mod stand_in;
mod streams;
mod world;
