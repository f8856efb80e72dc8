//! The gate. Five parts with one direction between them:
//!
//! - [`replication`]: pure and synchronous. Who holds the feed between publisher and isolate, and how fresh it is.
//! - [`validator`]: pure and synchronous. Data and `now` in, a verdict out; the same on every platform (I6, I9).
//! - [`limits`]: pure and synchronous. How many requests somebody may make, and how many bad credentials an address may show.
//! - [`usage`]: pure and synchronous. What an isolate counts, until it is delivered.
//! - `worker_adapter`: the Cloudflare Worker around it, and its Durable Object. Compiled for wasm32 only.

pub mod limits;
pub mod replication;
pub mod usage;
pub mod validator;

#[cfg(target_arch = "wasm32")]
mod worker_adapter;
