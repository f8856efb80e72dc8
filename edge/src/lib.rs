//! The gate. Its parts with one direction between them:
//!
//! - [`replication`]: pure and synchronous. Who holds the feed between publisher and isolate, and how fresh it is.
//! - [`validator`]: pure and synchronous. Data and `now` in, a verdict out; the same on every platform (I6, I9).
//! - [`answer`]: what callers are told, the same from every gate.
//! - [`library`]: pure and synchronous. A gate within somebody else's process.
//! - [`original`]: pure. The request that another server asks about.
//! - [`limits`]: pure and synchronous. How many requests somebody may make, and how many bad credentials an address may show.
//! - [`usage`]: pure and synchronous. What an isolate counts, until it is delivered.
//! - `worker_adapter`: the Cloudflare Worker around it, and its Durable Object. Compiled for wasm32 only.
//! - `npm_adapter`: the npm package around `library`. Compiled for wasm32 only, with the feature `npm`.

pub mod answer;
pub mod assertion;
pub mod library;
pub mod limits;
pub mod original;
pub mod replication;
pub mod usage;
pub mod validator;

#[cfg(test)]
mod testing;

#[cfg(all(target_arch = "wasm32", any(feature = "npm", feature = "worker")))]
mod crypto_provider;
#[cfg(all(target_arch = "wasm32", feature = "npm"))]
mod npm_adapter;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod worker_adapter;
