//! The revocation protocol under a simulated clock and a simulated network, and the checker that reads what happened.
//!
//! What runs here is the product's own: [`edge::replication`]'s hub, regions and followers, [`shared::feed`] beneath them,
//! and [`edge::validator`] for each request. What is made up here: the network, the clocks, the disks, the colo's cache,
//! the order in which the adapter asks (read, wait, judge again), and the publisher with its rule of receipts. A schedule is
//! one seed: the same seed gives the same run, on every machine.
//!
//! [`checker`] stands alone: it reads the event log of any run.

#![expect(
    clippy::expect_used,
    reason = "a tool of the tests: what cannot happen here is a bug of the simulation"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "simulated times and node numbers are small"
)]

pub mod checker;
mod config;
mod crypto;
mod deployment;
mod disk;
mod report;
mod rng;
mod runner;
mod world;

pub use config::{Config, Fault, Faults, Mutation};
pub use report::{Report, Spread};
pub use runner::{Summary, Until, explain, run_many};
pub use world::{Line, Outcome, run};
