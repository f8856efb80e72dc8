//! The rules of replication, each with the nearest case that it does not apply to.

mod feed;
mod fixture;
mod follower;
mod hub;
mod leases;
mod region;
