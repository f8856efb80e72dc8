//! The gate. Two parts with one direction between them:
//!
//! - [`validator`]: pure and synchronous. Data and `now` in, a verdict out; the same on every platform (I6, I9).
//! - `worker_adapter`: the Cloudflare Worker around it, and its Durable Object. Compiled for wasm32 only.

pub mod validator;

#[cfg(target_arch = "wasm32")]
mod worker_adapter;
