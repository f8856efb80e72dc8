//! `/dashboard`: what happens at the gate, at a glance.
//!
//! What it does not: anything that other pages do not do in detail.

pub mod page;
