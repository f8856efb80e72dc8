//! How the feed travels from the publisher to an isolate, and how fresh what each of them says is (DESIGN §4).
//!
//! ```text
//! publisher ──push──▶ hub ──push──▶ region (one of six) ◀──read── colo cache ◀──read── isolate
//!                      ▲──────────pull, lease──────┘
//! ```
//!
//! What it does: everything that hub, regions and isolates have to remember and decide, as synchronous functions of their
//! state, a message and `now` (I6). What it does not: send anything, read a clock, or know how a [`Log`] is stored. The
//! Durable Objects run it in workerd, the simulation runs it with a simulated network.
//!
//! **Lease.** A region that pulled from the hub, and stands at the hub's head, may answer as fresh for [`LEASE_MS`] counted
//! from the moment at which its pull *started*. The hub counts the same lease from the moment of its answer, which is later,
//! and adds [`LEASE_MARGIN_MS`]: by the hub's reckoning no region is fresh that does not think so itself. So a revocation
//! is in force everywhere once each region has either applied it or lost every lease that it was given before it. Only
//! durations are compared, each on one clock: clocks that differ do no harm.
//!
//! **Restart.** Leases are memory. A region that restarts holds none; a hub that restarts takes every region for a holder
//! until the longest lease has run out.
//!
//! **Local set.** A credential that was presented for self-revocation is dead at once in the region where it was (I8); the
//! region tells the hub, the hub tells the others and the publisher, until a frame says the same. It can only restrict.

mod account;
mod feed;
mod follower;
mod hub;
mod lease;
mod leases;
mod local;
mod log;
mod region;

pub use account::{Account, Place};
pub use feed::{Feed, OpenError, Taken};
pub use follower::{Caught, Follower, compare};
pub use hub::Hub;
pub use lease::Lease;
pub use leases::{Leases, RegionName, RegionReport};
pub use local::LocalSet;
pub use log::{Log, MemoryLog, Position};
pub use region::Region;

/// DESIGN §9: how long a region may answer as fresh after it heard the hub.
pub const LEASE_MS: u64 = 5000;
/// What the hub adds to a lease that it has given: two clocks that both count seconds may disagree a little.
pub const LEASE_MARGIN_MS: u64 = 1000;
/// A region that is asked pulls when its last pull is older than this.
pub const PULL_MS: u64 = 1000;
/// The hub pushes to regions that it has heard within this time; the others pull when they are needed.
pub const ACTIVE_MS: u64 = 60_000;
/// The most credentials that a local set holds: each costs its presenter a credential, and a frame empties it.
pub const MAX_LOCAL: usize = 1000;

#[cfg(test)]
mod tests;
