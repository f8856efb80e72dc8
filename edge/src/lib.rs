//! The gate. Three parts with one direction between them:
//!
//! - [`replication`]: pure and synchronous. Who holds the feed between publisher and isolate, and how fresh it is.
//! - [`validator`]: pure and synchronous. Data and `now` in, a verdict out; the same on every platform (I6, I9).
//! - `worker_adapter`: the Cloudflare Worker around it, and its Durable Object. Compiled for wasm32 only.

pub mod assertion;
pub mod replication;
pub mod validator;

#[cfg(target_arch = "wasm32")]
mod worker_adapter;
