//! `/dashboard`: what happens at the gate, at a glance. Everything on it is a link to where it is shown in detail.
//!
//! What it does not: count anything itself. Use is what the edges reported (`usage`), the state of the edges what they said last
//! (`edge`), and lists are cut after a few lines.

pub mod page;
