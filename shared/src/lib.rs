//! The contract between the control plane and the edge: every format and every rule that both sides must agree on.
//!
//! What is here: ids, times, scopes, the signed API key, strict JWT parsing, DPoP proofs, public keys and signature checks, path
//! canonicalisation and route policy, the restriction feed, usage batches, and the reasons for a verdict.
//! What is not: clocks, random numbers, I/O, HTTP, storage. Time and nonces come in as arguments (I6).
//!
//! | format | module | version |
//! | --- | --- | --- |
//! | public ids `org_…` | [`id`] | fixed |
//! | API key text and statement | [`key`] | 1 |
//! | access token (RFC 9068) | [`token`] | JWT |
//! | DPoP proof (RFC 9449) | [`dpop`] | JWT |
//! | the gate's word to an origin | [`assertion`] | JWT |
//! | route policy | [`policy`] | 1 |
//! | feed envelope, frame, snapshot, heartbeat, certificate | [`feed`] | 1 |
//! | usage batch | [`usage`] | 1 |
//!
//! Each binary format starts with its version byte and is described byte by byte in its module. The golden vectors in
//! `shared/vectors/*.json` are read by every implementation: this crate, the edge in workerd, and the tests.
//!
//! Nothing in this crate panics on any input (I13): no indexing, no unchecked arithmetic on foreign numbers.

pub mod assertion;
pub mod base62;
pub mod crypto;
pub mod dpop;
pub mod feed;
pub mod id;
pub mod json_tree;
pub mod jwk;
pub mod jwks;
pub mod key;
pub mod path;
pub mod policy;
pub mod scope;
pub mod strict_json;
pub mod time;
pub mod token;
pub mod usage;
pub mod verdict;
pub mod wire;
