//! The lease protocol as a model, and a checker that tries every order in which things can happen.
//!
//! Tests with real processes show that the usual order of events works, and some unusual ones. What breaks a lease
//! is an order that nobody thought of: an answer that comes after its sender was given up, a worker that is stopped
//! between looking at the clock and acting. So the protocol is written down here as a small state machine of
//! database, workers, network and time ([`Protocol`]), and [`explore`] walks through all of its states.
//!
//! Every decision about a request is made by [`eve_core::RequestLife::apply`], which the product uses too; the model
//! adds only who calls it, when, and with what guard. [`Rules`] says which rule of the protocol is in force, so that
//! each can be taken away: such a *broken twin* must fail, or the model would not notice what the rule is for.
//!
//! Development only. `docs/protocol.md` describes the protocol, the properties and the counterexamples.

#![warn(missing_docs)]

mod action;
mod checker;
mod database;
mod life;
mod properties;
mod protocol;
mod rules;
mod worker;
mod world;

pub use action::Action;
pub use checker::Exploration;
pub use checker::Kind;
pub use checker::Model;
pub use checker::Property;
pub use checker::Step;
pub use checker::Violation;
pub use checker::explore;
pub use properties::properties;
pub use protocol::Protocol;
pub use rules::Bounds;
pub use rules::Clock;
pub use rules::Deadline;
pub use rules::Guard;
pub use rules::Rules;
pub use rules::Twin;
pub use rules::Unnamed;
pub use world::World;
